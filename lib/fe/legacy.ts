/**
 * Records that were moved here as the family's servers sealed them. Their callers' old keys open
 * them while the keyring allows it, and the first such read seals them the way everything else is
 * sealed here. `enc-server migrate finish` ends that.
 */
import { ENVELOPE_FLAG, type RecordName, seal } from '../crypto/envelope.ts';
import { openLegacy } from '../crypto/legacy.ts';
import { codeOf } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import { KEY_BYTES } from '../protocol/limits.ts';
import { callOf, KeyUntried, noting } from './calls.ts';
import type { KeyringKeeper } from './keeper.ts';
import type { FoundRecord, Placement } from './placement.ts';
import { ifUnchanged } from './write-condition.ts';

export { isLegacyHeader } from '../crypto/legacy.ts';

/** Errors that keep a record from being sealed anew, but do not prevent returning it. */
const NOT_NOW: readonly (string | undefined)[] = [
  'CONFLICT',
  'UNAVAILABLE',
  'UNKNOWN_OUTCOME',
  'OVERLOADED',
  'TIMEOUT',
];

export class LegacyRecords {
  readonly #placement: Placement;
  readonly #keeper: KeyringKeeper;
  readonly #budget: Budget;

  constructor(placement: Placement, keeper: KeyringKeeper, budget: Budget) {
    this.#placement = placement;
    this.#keeper = keeper;
    this.#budget = budget;
  }

  /** @throws EncServerError `WRONG_KEY`, `ALTERED`; `INVALID_KEY` for a key of another length */
  open({ body }: FoundRecord, key: Buffer, context: RequestContext): Buffer {
    if (this.#keeper.ring.keyring.legacy !== true) {
      const hint = 'its key was not used before enc-server migrate finish; migrate it again';
      throw new KeyUntried('ALTERED', "the family's records are no longer opened", { hint });
    }
    return noting(context, () => openLegacy(body, key));
  }

  /**
   * Seals what was opened under the same key, if it is still there. Resolves to the revision. With
   * a key shorter than today's, the record stays as it is until it is stored again.
   */
  async renew(
    name: RecordName,
    { revision }: FoundRecord,
    key: Buffer,
    record: Buffer,
    context: RequestContext,
  ): Promise<Buffer> {
    if (key.length !== KEY_BYTES) return revision;
    const flags = ENVELOPE_FLAG.callersKey | ENVELOPE_FLAG.legacy;
    const sealed = { ...seal({ name, key, record, flags }), expiryMs: 0 };
    const unchanged = ifUnchanged(revision);
    this.#budget.count(sealed.body.length);
    try {
      return (await this.#placement.put(name, sealed, unchanged, callOf(context))).revision;
    } catch (error) {
      if (NOT_NOW.includes(codeOf(error))) return revision;
      throw error;
    } finally {
      this.#budget.release(sealed.body.length);
    }
  }
}
