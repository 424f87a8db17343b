/**
 * What every store does. The suite assumes the contract alone (`lib/store/store.ts`), so it runs
 * unchanged over each implementation.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Store } from '../../lib/store/store.ts';
import { closingSuite } from './store-suite-closing.ts';
import { conditionSuite } from './store-suite-conditions.ts';
import { metaSuite } from './store-suite-meta.ts';
import { scanSuite } from './store-suite-scan.ts';
import { snapshotSuite } from './store-suite-snapshot.ts';
import { valueSuite } from './store-suite-values.ts';

/** A store under test. */
export interface Opened {
  readonly store: Store;
  /** Closes the store and opens it again; absent where nothing outlives a store. */
  readonly reopen?: () => Promise<Store>;
  /** Closes the store, and removes what is left of it. */
  readonly destroy: () => Promise<void>;
}

/** What the parts of the suite share. */
export interface Subject {
  /** The store of this test, empty at first. */
  readonly store: Store;
  readonly reopen: (() => Promise<Store>) | undefined;
}

export interface SuiteOptions {
  /** Whether a snapshot is a consistent view; where it is best effort, say false. */
  readonly hasSnapshots?: boolean;
}

export function storeSuite(
  name: string,
  open: () => Promise<Opened>,
  options: SuiteOptions = {},
): void {
  describe(name, () => {
    let opened: Opened | undefined;
    const current = (): Opened => {
      assert.ok(opened);
      return opened;
    };
    const subject: Subject = {
      get store() {
        return current().store;
      },
      get reopen() {
        return current().reopen;
      },
    };
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(() => current().destroy());

    valueSuite(subject);
    conditionSuite(subject);
    scanSuite(subject);
    metaSuite(subject);
    closingSuite(subject);
    if (options.hasSnapshots === false) it.skip('snapshots: best effort in this store', () => {});
    else snapshotSuite(subject);
  });
}
