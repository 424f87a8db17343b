/** The store on LevelDB, in a folder or in memory: the same class over either database. */
import { EncServerError, toEncServerError } from '../errors.ts';
import {
  GROUP_LIMITS,
  GroupCommit,
  type GroupLimits,
  type GroupMeter,
  type Settle,
  Write,
  type WriteKind,
  type WriteRequest,
} from './group.ts';
import { checkKey, checkLimit, checkScan } from './keys.ts';
import { countValues } from './level-count.ts';
import { isDamage, type LevelDatabase, levelReason, openingError } from './level-database.ts';
import type { LookedUp } from './level-each.ts';
import { Lookups } from './level-lookups.ts';
import { readError, readExpired, readPage } from './level-read.ts';
import {
  openWithReserve,
  REOPEN_DELAYS,
  type ReopenDelays,
  reopenDatabase,
} from './level-reopen.ts';
import { LevelStoreSnapshot } from './level-snapshot.ts';
import { ReadTurns } from './level-turns.ts';
import { writeGroup } from './level-write.ts';
import type { StoreLog } from './open.ts';
import type { Reserve } from './reserve.ts';
import {
  ALWAYS,
  type Condition,
  type PutResult,
  type ScanPage,
  type Snapshot,
  type Store,
  type StoredHead,
  type StoredValue,
  type StoreStats,
  type Value,
} from './store.ts';
import { checkCondition, checkValue } from './value.ts';

export interface LevelStoreOptions {
  readonly kind: 'level' | 'memory';
  /** Its location, for people; empty for memory. */
  readonly place: string;
  /** Opens the database: at the start, and after every failed write. */
  readonly open: () => Promise<LevelDatabase>;
  /** Approximate bytes on disk. */
  readonly measureBytes?: () => Promise<number>;
  /** Reserved room on the disk; memory has none. The store closes it. */
  readonly reserve?: Reserve;
  /** Called last when the store is closed. */
  readonly release?: () => Promise<void>;
  readonly log?: StoreLog | undefined;
  /** Milliseconds since 1970 (UTC). */
  readonly now?: (() => number) | undefined;
  readonly groupLimits?: GroupLimits;
  readonly reopenDelays?: ReopenDelays;
}

/**
 * The LevelDB store. Buffers given to it must not be changed before the call has resolved, and
 * buffers that come from it must not be changed at all.
 */
export class LevelStore implements Store {
  readonly #options: LevelStoreOptions;
  readonly #now: () => number;
  readonly #queue: GroupCommit;
  readonly #turns: ReadTurns;
  readonly #lookups: Lookups;
  readonly #stopReopening = new AbortController();
  /** Undefined while it is being reopened. */
  #database: LevelDatabase | undefined;
  #reopening: Promise<void> = Promise.resolve();
  /** Opened on a full disk, where LevelDB's own work fails: it never takes writes. */
  #isSpent: boolean;
  #closing: Promise<void> | undefined;
  #records: number;

  private constructor(options: LevelStoreOptions, database: LevelDatabase, records: number) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#turns = new ReadTurns(this.#now);
    const limits = options.groupLimits ?? GROUP_LIMITS;
    this.#lookups = new Lookups((keys) => this.#lookUp(keys));
    this.#queue = new GroupCommit(
      (group) => this.#writeGroup(group),
      limits,
      (write) => this.#lookups.add(write),
    );
    this.#database = database;
    this.#records = records;
    this.#isSpent = options.reserve?.isFull === true;
  }

  /** Opens a store; an error of `options.open` is passed on to the caller. */
  static async open(options: LevelStoreOptions): Promise<LevelStore> {
    const database = await openWithReserve(options.open, options.reserve);
    try {
      return new LevelStore(options, database, await countValues(database));
    } catch (thrown) {
      await database.close();
      throw isDamage(thrown) ? openingError(options.place, thrown) : readError(thrown);
    }
  }

  get place(): string {
    return this.#options.place;
  }

  put(key: Buffer, value: Value, condition: Condition = ALWAYS): Promise<PutResult> {
    return new Promise((resolve, reject) => {
      checkValue(value);
      // LevelDB copies what it is given; memory keeps it, and the caller may reuse the buffer.
      const kept = this.#options.kind === 'memory' ? copyBody(value) : value;
      this.#enqueue('put', { key, value: kept, condition, resolve, reject });
    });
  }

  delete(key: Buffer, condition: Condition = ALWAYS): Promise<boolean> {
    return this.#remove('delete', key, condition);
  }

  get(key: Buffer, bodyBytesMax = Number.POSITIVE_INFINITY): Promise<StoredValue | undefined> {
    return new Promise((resolve, reject) => {
      checkKey(key);
      this.#turns.add(this.#openDatabase(), { key, bodyBytesMax, resolve, reject });
    });
  }

  getMany(keys: readonly Buffer[], bodyBytesMax?: number): Promise<(StoredValue | undefined)[]> {
    // One turn is one lookup in one snapshot, so all of these are seen at one moment.
    return Promise.all(keys.map((key) => this.get(key, bodyBytesMax)));
  }

  async head(key: Buffer): Promise<StoredHead | undefined> {
    const value = await this.get(key, -1);
    if (value === undefined) return undefined;
    const { head, expiryMs, revision, bodyBytes } = value;
    return { head, expiryMs, revision, bodyBytes };
  }

  async scan(prefix: Buffer, after: Buffer | undefined, limit: number): Promise<ScanPage> {
    checkScan(prefix, limit);
    const request = { prefix, after, limit };
    return this.#turns.track(readPage(this.#openDatabase(), request, this.#now(), undefined));
  }

  /**
   * Deletes values whose time has come, the oldest first; at most `limit` of them, 1 to 10,000.
   * They count as absent even before; this only frees their room.
   *
   * @returns how many it deleted
   */
  async sweepExpired(limit: number): Promise<number> {
    checkLimit(limit);
    const keys = await this.#turns.track(readExpired(this.#openDatabase(), limit, this.#now()));
    const isDone = await Promise.all(keys.map((key) => this.#remove('expire', key, ALWAYS)));
    return isDone.filter(Boolean).length;
  }

  /**
   * Bytes are the size of the files. Records are counted when the store is opened, exactly up to
   * 4096 and estimated from their bytes beyond that, and then updated by each write; expired ones
   * count until they are swept.
   */
  async stats(): Promise<StoreStats> {
    this.#openDatabase();
    const { kind, place, measureBytes } = this.#options;
    const bytes = measureBytes === undefined ? 0 : await measureBytes();
    return { kind, place, bytes, records: Math.max(0, this.#records) };
  }

  async snapshot(): Promise<Snapshot> {
    return new LevelStoreSnapshot(this.#openDatabase(), this.#now, this.#turns);
  }

  get meter(): GroupMeter {
    return this.#queue.meter;
  }

  health(): { readonly ok: boolean; readonly reason: string } {
    const refusal = this.#refusal();
    if (refusal !== undefined) return { ok: false, reason: refusal };
    if (this.#options.reserve?.isLow === true) {
      return { ok: false, reason: 'the disk is nearly full' };
    }
    return { ok: true, reason: 'writes are taken' };
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    // From here on `#closing` refuses new requests; earlier ones are finished.
    await this.#queue.idle();
    await this.#turns.idle();
    this.#stopReopening.abort();
    await this.#reopening;
    await this.#options.reserve?.close();
    try {
      await this.#database?.close();
    } catch (thrown) {
      throw toEncServerError(thrown);
    } finally {
      await this.#options.release?.();
    }
  }

  /** Why nothing can be written at the moment; undefined if it can. */
  #refusal(): string | undefined {
    if (this.#closing !== undefined) return 'the store is closed';
    if (this.#database === undefined) return 'the database is being opened again';
    if (this.#options.reserve?.isFull === true) return 'the disk is full';
    return undefined;
  }

  /** For reads, which continue when the disk is full. */
  #openDatabase(): LevelDatabase {
    if (this.#database !== undefined && this.#closing === undefined) return this.#database;
    throw unavailable(this.#refusal());
  }

  #remove(kind: 'delete' | 'expire', key: Buffer, condition: Condition): Promise<boolean> {
    return new Promise((done, reject) => {
      const resolve = (result: PutResult) => done(result.replaced);
      this.#enqueue(kind, { key, value: undefined, condition, resolve, reject });
    });
  }

  #enqueue(kind: WriteKind, request: WriteRequest): void {
    checkKey(request.key);
    checkCondition(request.condition);
    const refusal = this.#refusal();
    if (refusal !== undefined) throw unavailable(refusal);
    this.#queue.add(new Write(kind, request));
  }

  /** Also serves writes that were taken before the store began to close. */
  #lookUp(keys: Buffer[]): Promise<readonly LookedUp[]> {
    const database = this.#database;
    if (database === undefined) return Promise.reject(unavailable(this.#refusal()));
    return this.#turns.lookUp(database, keys);
  }

  async #writeGroup(group: readonly Write[]): Promise<Settle | undefined> {
    const database = this.#database;
    if (database !== undefined && this.#isSpent) this.#startReopening(database);
    if (database === undefined || this.#isSpent) {
      for (const write of group) write.reject(unavailable(this.#refusal()));
      return undefined;
    }
    return await writeGroup(database, group, this.#lookups, this.#now, {
      written: (added) => {
        this.#records += added;
      },
      failed: (cause) => this.#fail(database, cause),
    });
  }

  /** The group may or may not be on the disk; the writes that wait behind it certainly are not. */
  #fail(broken: LevelDatabase, cause: unknown): void {
    this.#options.log?.('error', 'a write failed', { reason: levelReason(cause) });
    this.#startReopening(broken);
  }

  #startReopening(broken: LevelDatabase): void {
    this.#database = undefined;
    this.#queue.failWaiting(unavailable(this.#refusal()));
    this.#lookups.clear();
    this.#reopening = this.#reopen(broken);
  }

  async #reopen(broken: LevelDatabase): Promise<void> {
    await this.#turns.idle();
    const { open, reserve, log, reopenDelays: delays = REOPEN_DELAYS } = this.#options;
    const signal = this.#stopReopening.signal;
    const database = await reopenDatabase({ broken, open, reserve, delays, log, signal });
    if (database === undefined) return;
    this.#records = await countValues(database).catch(() => this.#records);
    this.#isSpent = reserve?.isFull === true;
    this.#database = database;
  }
}

function copyBody(value: Value): Value {
  return { ...value, body: Buffer.from(value.body) };
}

function unavailable(reason = 'the store is closed'): EncServerError {
  return new EncServerError('UNAVAILABLE', reason);
}
