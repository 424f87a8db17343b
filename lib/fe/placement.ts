/**
 * Where records lie in the store: under which entry of the keyring a name is searched and written.
 * The rest of the front end knows only names.
 *
 * While an old entry is left, these rules hold, whatever front ends and moves interleave:
 * - Nobody writes under the old entry: the back end accepts only the newest epoch.
 * - A record is moved before its name is written or deleted. So what lies under the old entry is
 *   the record, and once nothing lies there, nothing ever will.
 * - A move puts a record only where nothing is. A late move must find something there, so deleting
 *   a record leaves a grave, which is removed when the old entry is retired; and a record that
 *   expires is stored for longer than a move can take, and counts as absent by the time in its
 *   header.
 * - A read looks under the active entry, the old one, and the active one again, because the record
 *   may have been moved in between.
 */
import type { BeCall } from '../be/client.ts';
import type { RecordName } from '../crypto/envelope.ts';
import { type Claim, decodeHead, encodeHead, isGrave } from '../crypto/head.ts';
import { codeOf, EncServerError } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import { SMALL_LANE_BYTES_MAX } from '../protocol/limits.ts';
import {
  type FoundHead,
  type FoundRecord,
  GRAVE,
  isGone,
  lookUp,
  orAbsent,
  orConflict,
  type RecordStore,
} from './lookup.ts';
import { CLAIMS_NAMESPACE } from './reserved.ts';
import type { Ring } from './ring.ts';
import { type RingKeeper, withRing } from './with-ring.ts';
import { changed, IF_ABSENT, ifRevision, type WriteCondition } from './write-condition.ts';

export type { FoundHead, FoundRecord, RecordStore } from './lookup.ts';

/** A sealed record as it is written. */
export interface SealedRecord {
  /** Envelope header: docs/ENVELOPE.md. */
  readonly header: Buffer;
  readonly body: Buffer;
  /** When the store expires it, in milliseconds since 1970; 0 is never. */
  readonly expiryMs: number;
  /** For a record that could be read once, and was. */
  readonly claim?: Claim;
}

export interface Written {
  readonly revision: Buffer;
  /** Whether a record was there before. */
  readonly replaced: boolean;
}

/** What is put under a store key. */
type PutValue = Parameters<RecordStore['put']>[1];

const NO_BYTES = Buffer.alloc(0);
/** How long an expiring record is stored at least while moves may be under way, in milliseconds. */
const MOVE_MS_MAX = 3_600_000;

export class Placement {
  readonly #be: RecordStore;
  readonly #keeper: RingKeeper;
  readonly #budget: Budget;

  constructor(be: RecordStore, keeper: RingKeeper, budget: Budget) {
    this.#be = be;
    this.#keeper = keeper;
    this.#budget = budget;
  }

  /** Rejects with `CONFLICT` if the condition does not hold. */
  put(
    name: RecordName,
    sealed: SealedRecord,
    condition: WriteCondition,
    call: BeCall,
  ): Promise<Written> {
    return withRing(this.#keeper, call, (ring, bound) => {
      const { storeKey, sealedId } = ring.active.seal(name);
      const head = encodeHead(sealedId, ring.rewrap(sealed.header, name), sealed.claim);
      const value = { head, body: sealed.body, expiryMs: storedUntil(ring, name, sealed.expiryMs) };
      const isAny = condition.kind === 'always';
      const write = () => this.#putAt(ring, storeKey, value, condition, bound);
      return ring.old === undefined ? write() : this.#settle(ring, name, bound, isAny).then(write);
    });
  }

  /** Rejects with `NOT_FOUND`, or `LARGE` when the body is above `acceptBytes`. */
  get(name: RecordName, acceptBytes: number, call: BeCall): Promise<FoundRecord> {
    return withRing(this.#keeper, call, (ring, bound) =>
      lookUp(ring, name, (key) => this.#be.get(key, acceptBytes, bound)),
    );
  }

  /** Rejects with `NOT_FOUND`. */
  head(name: RecordName, call: BeCall): Promise<FoundHead> {
    return withRing(this.#keeper, call, (ring, bound) =>
      lookUp(ring, name, (key) => this.#be.head(key, bound)),
    );
  }

  /** Resolves to whether there was a record. Rejects with `CONFLICT`. */
  remove(name: RecordName, condition: WriteCondition, call: BeCall): Promise<boolean> {
    return withRing(this.#keeper, call, async (ring, bound) => {
      const storeKey = ring.active.storeKey(name);
      if (!ring.mayMeetGraves) {
        if (this.#isToLook(condition)) await this.#refuseGone(storeKey, bound);
        return await this.#be.remove(storeKey, condition, bound);
      }
      await this.#settle(ring, name, bound, condition.kind === 'always');
      return await this.#removeKnowing(ring, storeKey, condition, bound);
    });
  }

  /** Moves a record from the old entry to the active one, if it still lies under the old one. */
  move(name: RecordName, call: BeCall): Promise<void> {
    return withRing(this.#keeper, call, (ring, bound) => this.#settle(ring, name, bound, false));
  }

  /**
   * Once it resolves, nothing lies under the old entry.
   *
   * @param isReplaced whether the record, whatever it is, is replaced or deleted next
   */
  async #settle(ring: Ring, name: RecordName, call: BeCall, isReplaced: boolean): Promise<void> {
    if (ring.old === undefined) return;
    const from = ring.old.storeKey(name);
    const stored = await orAbsent(this.#be.head(from, call));
    if (stored === undefined) return;
    this.#budget.count(stored.bodyBytes);
    try {
      await this.#moveFrom(from, stored.bodyBytes, ring, name, call, isReplaced);
    } catch (error) {
      // Moved or not, the record is unchanged, so the caller can try again.
      if (codeOf(error) !== 'UNKNOWN_OUTCOME') throw error;
      throw new EncServerError('UNAVAILABLE', 'a record was being moved', { cause: error });
    } finally {
      this.#budget.release(stored.bodyBytes);
    }
  }

  async #moveFrom(
    from: Buffer,
    bodyBytes: number,
    ring: Ring,
    name: RecordName,
    call: BeCall,
    isReplaced: boolean,
  ): Promise<void> {
    const acceptBytes = Math.max(bodyBytes, SMALL_LANE_BYTES_MAX);
    const found = await orAbsent(this.#be.get(from, acceptBytes, call));
    if (found === undefined) return;
    const { revision, expiryMs, body = NO_BYTES } = found;
    const { storeKey, sealedId } = ring.active.seal(name);
    const head = headFor(found.head, ring, name, sealedId, isReplaced);
    const value = { head, body, revision, expiryMs };
    await orConflict(this.#be.put(storeKey, value, IF_ABSENT, call));
    await orConflict(this.#be.remove(from, ifRevision(revision), call));
  }

  #putAt(
    ring: Ring,
    storeKey: Buffer,
    value: PutValue,
    condition: WriteCondition,
    call: BeCall,
  ): Promise<Written> {
    if (condition.kind === 'absent') return this.#putCounting(storeKey, value, condition, call);
    const put = () => this.#be.put(storeKey, value, condition, call);
    if (this.#isToLook(condition)) return this.#refuseGone(storeKey, call).then(put);
    const counts = ring.mayMeetGraves && condition.kind === 'always';
    return counts ? this.#putCounting(storeKey, value, condition, call) : put();
  }

  /** Whether nobody has looked yet at what a condition is about, and the store takes conditions. */
  #isToLook(condition: WriteCondition): boolean {
    return condition.kind === 'revision' && !condition.isSeen && this.#be.takesConditions;
  }

  /**
   * For a revision that only the caller names. The store may keep a record beyond its end, in a
   * rotation or by its own clock, and would still find that.
   */
  async #refuseGone(storeKey: Buffer, call: BeCall): Promise<void> {
    const askedAtMs = Date.now();
    const there = await orAbsent(this.#be.head(storeKey, call));
    if (there !== undefined && isGone(there, askedAtMs)) throw changed();
  }

  /**
   * A put that treats graves and expired records as absent. A round, here and in `#removeKnowing`,
   * is lost only to somebody else's write, so one of the writers always makes progress.
   */
  async #putCounting(
    storeKey: Buffer,
    value: PutValue,
    { kind }: WriteCondition,
    call: BeCall,
  ): Promise<Written> {
    for (;;) {
      const fresh = await orConflict(this.#be.put(storeKey, value, IF_ABSENT, call));
      if (fresh !== undefined) return fresh;
      const askedAtMs = Date.now();
      const there = await orAbsent(this.#be.head(storeKey, call));
      if (there === undefined) continue;
      const isVacant = isGone(there, askedAtMs);
      if (kind === 'absent' && !isVacant) {
        throw new EncServerError('CONFLICT', 'there is a record already');
      }
      const { revision } = there;
      const done = await orConflict(this.#be.put(storeKey, value, ifRevision(revision), call));
      if (done !== undefined) return { ...done, replaced: !isVacant };
    }
  }

  /** Deletes a record, but not a grave; leaves a grave while moves may be under way. */
  async #removeKnowing(
    { old }: Ring,
    storeKey: Buffer,
    condition: WriteCondition,
    call: BeCall,
  ): Promise<boolean> {
    for (;;) {
      const askedAtMs = Date.now();
      const there = await orAbsent(this.#be.head(storeKey, call));
      const found = there === undefined || isGone(there, askedAtMs) ? undefined : there;
      const isMeant = condition.kind !== 'revision' || found?.revision.equals(condition.revision);
      if (!isMeant || (condition.kind === 'absent' && found !== undefined)) {
        throw changed();
      }
      if (there === undefined || isGrave(there.head)) return false;
      const unchanged = ifRevision(there.revision);
      const removed = await orConflict<unknown>(
        old === undefined
          ? this.#be.remove(storeKey, unchanged, call)
          : this.#be.put(storeKey, GRAVE, unchanged, call),
      );
      if (removed !== undefined) return found !== undefined;
    }
  }
}

/**
 * A record's head under the active entry. What is replaced next may be damaged: it is moved as it
 * is, so that its name can be written and deleted again.
 */
function headFor(
  stored: Buffer,
  ring: Ring,
  name: RecordName,
  sealedId: Buffer,
  isReplaced: boolean,
): Buffer {
  try {
    const { header, claim } = decodeHead(stored);
    return encodeHead(sealedId, ring.rewrapIfWhole(header, name), claim);
  } catch (error) {
    if (!isReplaced || codeOf(error) !== 'ALTERED') throw error;
    return stored;
  }
}

/**
 * When the store expires what is written, in milliseconds since 1970; 0 is never. The copy of a
 * record that could be read once needs no extension: its name was never used for anything else.
 */
function storedUntil({ old }: Ring, { namespace }: RecordName, expiryMs: number): number {
  if (old === undefined || expiryMs === 0 || namespace.equals(CLAIMS_NAMESPACE)) return expiryMs;
  return Math.max(expiryMs, Date.now() + MOVE_MS_MAX);
}
