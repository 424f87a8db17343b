/**
 * What every store does. The suite assumes the contract alone (`lib/store/store.ts`), so it runs
 * unchanged over each implementation.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ONE_MOMENT_KINDS, type StoreKind } from '../../lib/config/store-kinds.ts';
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
  readonly kind: StoreKind;
  /** The store of this test, empty at first. */
  readonly store: Store;
  readonly reopen: (() => Promise<Store>) | undefined;
}

export function storeSuite(kind: StoreKind, open: () => Promise<Opened>): void {
  describe(kind, () => {
    let opened: Opened | undefined;
    const current = (): Opened => {
      assert.ok(opened);
      return opened;
    };
    const subject: Subject = {
      kind,
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
    if (ONE_MOMENT_KINDS.includes(kind)) snapshotSuite(subject);
    else it.skip('snapshots: best effort in this store', () => {});
  });
}
