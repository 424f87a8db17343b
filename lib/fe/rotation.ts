/**
 * The life of a keyring, step by step: a new entry is added, activated once every front end knows
 * it, the records are moved under it, and the old entry is retired. All of it goes through the back
 * end, while both servers run; an interrupted step is completed by repeating it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BeClient, ScanItem } from '../be/client.ts';
import { decodeHeader } from '../crypto/envelope.ts';
import { decodeHead, isGrave } from '../crypto/head.ts';
import type { Keyring } from '../crypto/keyring.ts';
import { activateEntry, addEntry, numberOf, retireEntry } from '../crypto/keyring-states.ts';
import { codeOf, EncServerError, toEncServerError } from '../errors.ts';
import { BODY_BYTES_MAX, KeyringJob, RECORD_TIMEOUT_MS, type Told } from './keyring-job.ts';
import { endOf, type RecordStore, scanAll } from './lookup.ts';
import type { Placement } from './placement.ts';
import { Ring } from './ring.ts';
import { ifRevision } from './write-condition.ts';

export interface RewrapOptions {
  /** The most records per second; unlimited if absent. */
  readonly ratePerSecond?: number | undefined;
  /** Called after each record: how many are moved, of how many. */
  readonly progress?: Told;
  readonly signal?: AbortSignal | undefined;
}

export interface Rewrapped {
  readonly moved: number;
  /** Those that could not be moved, with the reason. They lie where they were. */
  readonly failed: readonly { readonly storeKey: string; readonly code: string }[];
  /**
   * Store keys of moved records whose kept key nothing unwraps: it is still wrapped, damaged as it
   * is, under an earlier entry.
   */
  readonly damagedKeys: readonly string[];
}

const LOOK_INTERVAL_MS = 200;
/** Moves that are under way at once. */
const MOVES_AT_ONCE = 32;
/** How long a move is retried while the back end is away, in milliseconds. */
const AWAY_MS_MAX = 60_000;
const AWAY_PAUSE_MS = 500;

export class Rotation extends KeyringJob {
  /** Rejects with `CONFLICT`, `STALE_EPOCH`, `KEYRING_MISMATCH`, `UNAVAILABLE`. */
  async add(): Promise<Keyring> {
    await this.#check(addEntry);
    return await this.update(addEntry);
  }

  /**
   * Waits until every connected front end knows the pending entry, at most `waitMs`, then makes
   * it the active one. `waiting` is told how many connections do not know it yet. Rejects with
   * `CONFLICT` if some never do, else as {@link add}.
   */
  async activate(waitMs: number, waiting: (connections: number) => void): Promise<Keyring> {
    const { epoch } = await this.#check(activateEntry);
    await this.#awaitFrontEnds(epoch, waitMs, waiting);
    const keyring = await this.update(activateEntry);
    await this.withBe(keyring, async (be) => await be.greet(keyring));
    return keyring;
  }

  /**
   * Retires the old entry. Rejects with `CONFLICT` while a record lies under it. If no entry is old
   * any more, completes what an earlier attempt left. `damaged` is told the store key of each record
   * whose kept key could not be wrapped anew: see {@link Rewrapped}.
   */
  async retire(damaged: (storeKey: string) => void = () => undefined): Promise<Keyring> {
    let keyring = await this.read();
    if (numberOf(keyring, 'old') !== undefined || !keyring.entries.some(isRetired)) {
      await this.#check(retireEntry);
      await this.withBe(keyring, (be) => refuseUnlessEmpty(be, new Ring(keyring)));
      keyring = await this.update(retireEntry);
    }
    // Once greeted, no earlier move is executed any more, and graves are no longer needed.
    await this.withBe(keyring, async (be) => {
      await be.greet(keyring);
      await sweepLeftovers(be, new Ring(keyring), damaged);
    });
    return keyring;
  }

  /** Moves the records under the old entry. Rejects with `CONFLICT` if there is no such entry. */
  async rewrap(options: RewrapOptions): Promise<Rewrapped> {
    await this.#check((keyring) => {
      if (numberOf(keyring, 'old') !== undefined) return keyring;
      throw new EncServerError('CONFLICT', 'no entry of the keyring is old', {
        hint: 'records are moved after enc-server keys activate',
      });
    });
    return await this.withPlacement(
      async (placement, be, keyring) =>
        await new Mover(be, new Ring(keyring), placement, options).run(),
    );
  }

  /** Reads the keyring, checks that it belongs to the store, and tries the step on it. */
  async #check(step: (keyring: Keyring) => Keyring): Promise<Keyring> {
    const keyring = await this.read();
    step(keyring);
    const stored = await this.withBe(undefined, (be) => be.askKeyring());
    if (stored !== undefined && !stored.keyringId.equals(keyring.keyringId)) {
      throw new EncServerError('KEYRING_MISMATCH', 'the store belongs to another keyring');
    }
    if (stored === undefined || stored.epoch <= keyring.epoch) return keyring;
    const words = `the keyring has epoch ${keyring.epoch}, and the store has seen ${stored.epoch}`;
    const hint = 'this is an older copy of the keyring: put the newest one in its place';
    throw new EncServerError('STALE_EPOCH', words, { hint });
  }

  async #awaitFrontEnds(
    epoch: number,
    waitMs: number,
    waiting: (connections: number) => void,
  ): Promise<void> {
    const deadlineMs = Date.now() + waitMs;
    await this.withBe(undefined, async (be) => {
      for (;;) {
        const { frontEnds } = (await be.info()) as { frontEnds?: FrontEnds };
        const stale = (frontEnds ?? []).filter((some) => some.epoch < epoch);
        if (stale.length === 0) return;
        const connections = stale.reduce((sum, some) => sum + some.connections, 0);
        waiting(connections);
        if (Date.now() >= deadlineMs) throw staleFrontEnds(connections, epoch);
        await sleep(LOOK_INTERVAL_MS);
      }
    });
  }
}

type FrontEnds = readonly { readonly epoch: number; readonly connections: number }[];

/** Moves the records of one entry, many at once. */
class Mover {
  readonly #be: BeClient;
  readonly #ring: Ring;
  readonly #placement: Placement;
  readonly #options: RewrapOptions;
  readonly #failed: { storeKey: string; code: string }[] = [];
  readonly #damagedKeys: string[] = [];
  #moved = 0;
  #all = 0;
  #nextAtMs = 0;

  constructor(be: BeClient, ring: Ring, placement: Placement, options: RewrapOptions) {
    this.#be = be;
    this.#ring = ring;
    this.#placement = placement;
    this.#options = options;
  }

  async run(): Promise<Rewrapped> {
    for await (const _key of this.#keys()) this.#all++;
    const moves = this.#keys();
    const workers = Array.from({ length: MOVES_AT_ONCE }, () => this.#work(moves));
    await Promise.all(workers);
    return { moved: this.#moved, failed: this.#failed, damagedKeys: this.#damagedKeys };
  }

  async #work(moves: AsyncGenerator<ScanItem>): Promise<void> {
    for (;;) {
      const next = await moves.next();
      if (next.done === true || this.#options.signal?.aborted) return;
      await this.#pace();
      await this.#move(next.value);
      this.#options.progress?.(this.#moved + this.#failed.length, this.#all);
    }
  }

  async #move({ key, head }: ScanItem): Promise<void> {
    const untilMs = Date.now() + AWAY_MS_MAX;
    for (;;) {
      try {
        const { old } = this.#ring;
        if (old === undefined) return;
        const { sealedId, header } = decodeHead(head);
        const name = old.open(key, sealedId);
        const isWhole = this.#ring.keepsWholeKey(header, name);
        await this.#placement.move(name, { timeoutMs: RECORD_TIMEOUT_MS });
        this.#moved++;
        if (!isWhole) this.#damagedKeys.push(this.#ring.active.storeKey(name).toString('hex'));
        return;
      } catch (thrown) {
        const { code, row } = toEncServerError(thrown);
        const mayPass = row.retry !== 'never';
        // The keyring was changed by another command, or the back end does not come back.
        if (code === 'STALE_EPOCH' || (mayPass && Date.now() >= untilMs)) throw thrown;
        if (!mayPass) {
          this.#failed.push({ storeKey: key.toString('hex'), code });
          return;
        }
        await sleep(AWAY_PAUSE_MS);
      }
    }
  }

  /** Waits for the next turn of the rate. */
  async #pace(): Promise<void> {
    const { ratePerSecond } = this.#options;
    if (ratePerSecond === undefined) return;
    const now = Date.now();
    this.#nextAtMs = Math.max(now, this.#nextAtMs) + 1_000 / ratePerSecond;
    const waitMs = this.#nextAtMs - now;
    if (waitMs >= 1) await sleep(waitMs);
  }

  async *#keys(): AsyncGenerator<ScanItem> {
    const { old, epoch } = this.#ring;
    if (old !== undefined) yield* scanAll(this.#be, old.entryPrefix, epoch);
  }
}

async function refuseUnlessEmpty(be: BeClient, { old, epoch }: Ring): Promise<void> {
  if (old === undefined) return;
  const { items } = await be.scan(old.entryPrefix, undefined, 1, { epoch });
  if (items.length === 0) return;
  const hint = 'move them first: enc-server keys rewrap';
  throw new EncServerError('CONFLICT', `records remain under entry ${old.entryNumber}`, { hint });
}

/**
 * Removes what was left for the sake of moves: graves, and the extended storage of expiring
 * records. No move of an older epoch may be under way any more. `damaged` is told of the records
 * whose kept key is still wrapped under an earlier entry.
 */
export async function sweepLeftovers(
  be: RecordStore,
  { active, wrapEntry, epoch }: Ring,
  damaged: (storeKey: string) => void = () => undefined,
): Promise<void> {
  for await (const { key, head, revision, expiryMs } of scanAll(be, active.entryPrefix, epoch)) {
    const unchanged = ifRevision(revision);
    const endMs = isGrave(head) ? 0 : endOf(head);
    // A damaged record is no leftover, and must not keep the graves after it from being removed.
    if (endMs === undefined) continue;
    const isOver = isGrave(head) || (endMs !== 0 && endMs <= Date.now());
    if (!isOver && isWrappedByAnother(head, wrapEntry.number)) damaged(key.toString('hex'));
    if (!isOver && (endMs === 0 || expiryMs <= endMs || decodeHead(head).claim)) continue;
    try {
      if (isOver) {
        await be.remove(key, unchanged, { epoch });
        continue;
      }
      const { body = Buffer.alloc(0) } = await be.get(key, BODY_BYTES_MAX, { epoch });
      await be.put(key, { head, body, revision, expiryMs: endMs }, unchanged, { epoch });
    } catch (error) {
      // By now something else lies there, or nothing.
      if (codeOf(error) !== 'CONFLICT' && codeOf(error) !== 'NOT_FOUND') throw error;
    }
  }
}

function isWrappedByAnother(head: Buffer, number: number): boolean {
  const { wrapKeyNumber } = decodeHeader(decodeHead(head).header);
  return wrapKeyNumber !== undefined && wrapKeyNumber !== number;
}

function isRetired({ state }: { readonly state: string }): boolean {
  return state === 'retired';
}

function staleFrontEnds(connections: number, epoch: number): EncServerError {
  const words = `${connections} connections of front ends do not know epoch ${epoch} yet`;
  const hint = 'give those front ends the keyring file of this one; they load it by themselves';
  return new EncServerError('CONFLICT', words, { hint });
}
