/**
 * The store on MongoDB, through its driver. MongoDB 4.4 or later.
 *
 * The driver repeats a command whose answer was lost: reads always, writes in replica sets and
 * sharded clusters, where MongoDB recognises a repeated one by its number and executes it once.
 * Each write also carries its revision, by which it is recognised. What is still unknown after that
 * is answered with `UNKNOWN_OUTCOME`.
 *
 * Not tested, as the server that this project is developed against has none of it: replica sets (so
 * elections, repeated writes and majority reads), sharding (`_id` hashed would be the key; every
 * command but a scan names it), users and passwords, TLS, and the sweeping of expired values.
 */
import type { Collection, MongoClient } from 'mongodb';
import { EncServerError, toEncServerError } from '../errors.ts';
import { TransientSet } from '../transient.ts';
import {
  GROUP_LIMITS,
  GroupCommit,
  type GroupLimits,
  type GroupMeter,
  Write,
  type WriteKind,
} from './group.ts';
import { checkKey, checkScan } from './keys.ts';
import { checkStoreId, type MetaStore } from './meta.ts';
import { createClient, mongoPlace, valuesOf } from './mongo-client.ts';
import { checkDocument, type ValueDocument } from './mongo-document.ts';
import { notDone } from './mongo-error.ts';
import { createIndexes } from './mongo-indexes.ts';
import { MongoLink } from './mongo-link.ts';
import { BESIDE_AFTER_MS, MongoReads, readPage } from './mongo-read.ts';
import { MongoRefusals } from './mongo-refusals.ts';
import { MongoStoreSnapshot } from './mongo-snapshot.ts';
import { countFacts, storageBytes } from './mongo-stats.ts';
import { watchRegularly } from './mongo-watch.ts';
import { MongoWriter } from './mongo-write.ts';
import type { StoreLog } from './open.ts';
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

export interface MongoStoreOptions {
  /** Connection string. */
  readonly uri: string;
  readonly database: string;
  /**
   * Checks whether the database belongs to this release, before anything is served, and is the one
   * that was there before, if any. Resolves to its ID.
   */
  readonly identify: (store: MetaStore, before: Buffer | undefined) => Promise<Buffer>;
  readonly log?: StoreLog | undefined;
  /** Milliseconds since 1970 (UTC). */
  readonly now?: (() => number) | undefined;
}

/**
 * A group of 64 costs MongoDB and its driver little more than one of 8, so smaller ones wait for
 * the one under way, for a moment. Larger ones need not wait until a majority of servers has it.
 */
const LIMITS: GroupLimits = {
  ...GROUP_LIMITS,
  groupsAtOnceMax: 8,
  besideCountMin: 64,
  besideAfterMs: BESIDE_AFTER_MS,
};

/**
 * The MongoDB store. Buffers given to it must not be changed before the call has resolved, and
 * buffers that come from it must not be changed at all.
 */
export class MongoStore implements Store {
  readonly place: string;
  readonly #collection: Collection<ValueDocument>;
  readonly #link: MongoLink;
  readonly #queue: GroupCommit;
  readonly #writer: MongoWriter;
  readonly #refusals: MongoRefusals;
  readonly #reads: MongoReads;
  readonly #now: () => number;
  readonly #watch: { stop(): void };
  readonly #pages = new TransientSet<Promise<unknown>>();
  /** Undefined until MongoDB was there for the first time. */
  #storeId: Buffer | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: MongoStoreOptions, client: MongoClient) {
    const { uri, database, identify, log, now = Date.now } = options;
    this.place = mongoPlace(uri, database);
    this.#now = now;
    this.#collection = valuesOf(client, database);
    const prepare = async () => {
      this.#storeId = await identify(this.#unguarded(), this.#storeId);
      await createIndexes(this.#collection, this.#link.answered);
    };
    this.#link = new MongoLink({ client, place: this.place, prepare, log });
    const { answered } = this.#link;
    this.#refusals = new MongoRefusals(log);
    this.#writer = new MongoWriter(this.#collection, now, answered, this.#refusals);
    this.#reads = new MongoReads(this.#collection, now, answered);
    this.#queue = new GroupCommit((group) => this.#writeGroup(group), LIMITS);
    this.#watch = watchRegularly(() => this.confirmId());
  }

  /**
   * Opens the store. If MongoDB does not answer within about two seconds, the store opens all the
   * same: it answers `UNAVAILABLE` until MongoDB does.
   *
   * @throws EncServerError `BAD_CONFIG`, `STORE_DAMAGED`
   */
  static async open(options: MongoStoreOptions): Promise<MongoStore> {
    const store = new MongoStore(options, await createClient(options.uri));
    try {
      await store.#link.start();
      return store;
    } catch (thrown) {
      await store.close();
      throw thrown;
    }
  }

  put(key: Buffer, value: Value, condition: Condition = ALWAYS): Promise<PutResult> {
    return new Promise((resolve, reject) => {
      this.#check(key, condition);
      checkValue(value);
      checkDocument(key, value);
      this.#queue.add(new Write('put', { key, value, condition, resolve, reject }));
    });
  }

  delete(key: Buffer, condition: Condition = ALWAYS): Promise<boolean> {
    return new Promise((done, reject) => {
      this.#check(key, condition);
      const resolve = (result: PutResult) => done(result.replaced);
      const kind: WriteKind = 'delete';
      this.#queue.add(new Write(kind, { key, value: undefined, condition, resolve, reject }));
    });
  }

  get(key: Buffer, bodyBytesMax = Number.POSITIVE_INFINITY): Promise<StoredValue | undefined> {
    return new Promise((resolve, reject) => {
      this.#check(key, ALWAYS);
      this.#reads.add({ key, bodyBytesMax, resolve, reject });
    });
  }

  /** One lookup or a few. MongoDB may show some values as they were a moment before others. */
  getMany(keys: readonly Buffer[], bodyBytesMax?: number): Promise<(StoredValue | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key, bodyBytesMax)));
  }

  async head(key: Buffer): Promise<StoredHead | undefined> {
    return withoutBody(await this.get(key, -1));
  }

  async scan(prefix: Buffer, after: Buffer | undefined, limit: number): Promise<ScanPage> {
    checkScan(prefix, limit);
    this.#checkUp();
    return this.#track(
      readPage(this.#collection, { prefix, after, limit }, this.#now(), this.#link.answered),
    );
  }

  async confirmId(): Promise<Buffer> {
    this.#checkUp();
    const storeId = this.#storeId;
    if (storeId === undefined) throw new EncServerError('INTERNAL', 'MongoDB was not identified');
    try {
      await checkStoreId(this, storeId);
    } catch (thrown) {
      const error = toEncServerError(thrown);
      if (error.code === 'STORE_DAMAGED') this.#link.distrust(error.message);
      throw error;
    }
    return storeId;
  }

  /** MongoDB deletes expired values by itself, through the index on `e`, about once a minute. */
  async sweepExpired(): Promise<number> {
    return 0;
  }

  /** Records are MongoDB's estimate. Bytes are 0 if it does not report them. */
  async stats(): Promise<StoreStats> {
    this.#checkUp();
    const counts = [
      this.#collection.estimatedDocumentCount(),
      countFacts(this.#collection),
      storageBytes(this.#collection),
    ] as const;
    try {
      const [all, facts, bytes] = await this.#track(this.#link.answered(Promise.all(counts)));
      return { kind: 'mongo', place: this.place, bytes, records: Math.max(0, all - facts) };
    } catch (thrown) {
      throw notDone(thrown);
    }
  }

  /** Best effort: it shows each value as it is when it is asked for. */
  async snapshot(): Promise<Snapshot> {
    this.#checkUp();
    return new MongoStoreSnapshot(this);
  }

  get meter(): GroupMeter {
    return this.#queue.meter;
  }

  health(): { readonly ok: boolean; readonly reason: string } {
    const refusal = this.#refusal ?? this.#refusals.reason;
    return refusal === undefined
      ? { ok: true, reason: 'writes are taken' }
      : { ok: false, reason: refusal };
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    this.#watch.stop();
    // From here on `#closing` refuses new requests; earlier ones are finished.
    await this.#queue.idle();
    await this.#reads.idle();
    await Promise.allSettled(this.#pages);
    await this.#link.close();
  }

  get #refusal(): string | undefined {
    return this.#closing === undefined ? this.#link.refusal : 'the store is closed';
  }

  #checkUp(): void {
    if (this.#refusal !== undefined) throw new EncServerError('UNAVAILABLE', this.#refusal);
  }

  #check(key: Buffer, condition: Condition): void {
    checkKey(key);
    checkCondition(condition);
    this.#checkUp();
  }

  async #writeGroup(group: readonly Write[]): Promise<void> {
    const reason = this.#link.refusal;
    if (reason === undefined) return this.#writer.writeGroup(group);
    // They were taken while MongoDB was there, and never sent.
    for (const write of group) write.reject(new EncServerError('UNAVAILABLE', reason));
  }

  #track<Result>(work: Promise<Result>): Promise<Result> {
    const tracked = work.finally(() => this.#pages.delete(tracked));
    this.#pages.add(tracked);
    return tracked;
  }

  /** For identifying the database before the link is up. */
  #unguarded(): MetaStore {
    const read = (key: Buffer) =>
      new Promise<StoredValue | undefined>((resolve, reject) => {
        this.#reads.add({ key, bodyBytesMax: -1, resolve, reject });
      });
    return {
      head: async (key) => withoutBody(await read(key)),
      put: (key, value, condition = ALWAYS) =>
        new Promise((resolve, reject) => {
          const write = new Write('put', { key, value, condition, resolve, reject });
          void this.#writer.writeGroup([write]);
        }),
    };
  }
}

function withoutBody(value: StoredValue | undefined): StoredHead | undefined {
  if (value === undefined) return undefined;
  const { head, expiryMs, revision, bodyBytes } = value;
  return { head, expiryMs, revision, bodyBytes };
}
