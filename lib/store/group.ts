/**
 * Group commit. What arrives while a group is being written forms the next one, so that many
 * callers share one sync of the disk. Groups are written one after another, or a few at once where
 * the store allows it. No two writes under way have the same key, and writes to one key are done in
 * order of arrival.
 */
import { EncServerError, toEncServerError } from '../errors.ts';
import { COUNT_BOUNDS, Histogram, SECONDS_BOUNDS } from '../metrics.ts';
import { TransientMap, TransientSet } from '../transient.ts';
import { Beside } from './beside.ts';
import type { Condition, PutResult, Value } from './store.ts';

/** Bounds of a {@link GroupCommit}. */
export interface GroupLimits {
  /** Bytes of one group. A single write may be larger, and is then a group of its own. */
  readonly groupBytesMax: number;
  /** Writes of one group. */
  readonly groupCountMax: number;
  /** Bytes that may wait for their group; what exceeds this is refused as `OVERLOADED`. */
  readonly waitingBytesMax: number;
  /** Groups under way at once; default 1. */
  readonly groupsAtOnceMax?: number;
  /** A group this large is begun besides those under way; a smaller one waits and grows. */
  readonly besideCountMin?: number;
  /** So is a smaller one after this many milliseconds: what is under way may be stuck. */
  readonly besideAfterMs?: number;
}

const MIB = 1024 * 1024;

/**
 * A group of 4 MiB takes long enough to write that the sync hardly counts; a larger one would only
 * make its callers wait. The bytes that may wait are half of what a process may have in flight.
 */
export const GROUP_LIMITS: GroupLimits = {
  groupBytesMax: 4 * MIB,
  groupCountMax: 1024,
  waitingBytesMax: 64 * MIB,
};

/** What a waiting write costs besides its bytes: objects, promise, buffers. A rough estimate. */
const WRITE_OVERHEAD_BYTES = 512;

/** `expire` deletes a value only if its time has come, and reports whether it did. */
export type WriteKind = 'put' | 'delete' | 'expire';

/** A write that a caller of a store asks for. */
export interface WriteRequest {
  readonly key: Buffer;
  /** Only of a `put`. */
  readonly value: Value | undefined;
  readonly condition: Condition;
  readonly resolve: (result: PutResult) => void;
  readonly reject: (error: EncServerError) => void;
}

/** One write in the queue. The writer of its group calls `resolve` or `reject`. */
export class Write implements WriteRequest {
  readonly kind: WriteKind;
  readonly key: Buffer;
  readonly value: Value | undefined;
  readonly condition: Condition;
  readonly resolve: (result: PutResult) => void;
  readonly reject: (error: EncServerError) => void;
  readonly bytes: number;
  /** The key as a string, for use in a map. */
  readonly name: string;
  /** The next write to the same key. Only {@link GroupCommit} touches it. */
  next: Write | undefined = undefined;

  constructor(kind: WriteKind, request: WriteRequest) {
    const { key, value } = request;
    this.kind = kind;
    // A copy: the caller's may be a view of a large buffer, and a database in memory keeps what it
    // is given.
    this.key = Buffer.from(key);
    this.value = value;
    this.condition = request.condition;
    this.resolve = request.resolve;
    this.reject = request.reject;
    this.name = key.toString('latin1');
    const valueBytes = value === undefined ? 0 : value.head.length + value.body.length;
    this.bytes = WRITE_OVERHEAD_BYTES + key.length + valueBytes;
  }
}

/** Tells the callers of a group the outcome of their writes. */
export type Settle = () => void;

/**
 * Writes a group and resolves when it is done: to a function that settles its writes, so that the
 * next group is begun before the callers are told; or to nothing, if they are settled already.
 */
export type GroupWriter = (group: readonly Write[]) => Promise<void> | Promise<Settle | undefined>;

/** Told of each write once it may go into the next group, possibly in the turn in which it does. */
export type ReadyListener = (write: Write) => void;

/** The metrics of a store's groups. */
export class GroupMeter {
  /** Writes of each group. */
  readonly writes = new Histogram(COUNT_BOUNDS);
  /** How long each group took to become durable, in seconds. */
  readonly seconds = new Histogram(SECONDS_BOUNDS);
}

/** The queue of a store's writes. */
export class GroupCommit {
  readonly meter = new GroupMeter();
  readonly #writer: GroupWriter;
  readonly #readyListener: ReadyListener | undefined;
  readonly #limits: GroupLimits;
  /** Writes that may go into the next group, at most one for each key. */
  #ready: Write[] = [];
  /** The last write of each key that waits or is under way; a later one is linked to it. */
  readonly #lastOfKey = new TransientMap<string, Write>();
  readonly #underWay = new TransientSet<readonly Write[]>();
  /** Groups that are written, but whose callers are not told yet. */
  readonly #settling = new TransientSet<readonly Write[]>();
  #waitingBytes = 0;
  /** Whether the next group is formed at the end of this turn. */
  #isForming = false;
  readonly #beside: Beside;
  readonly #idleWaiters: (() => void)[] = [];

  constructor(
    writer: GroupWriter,
    limits: GroupLimits = GROUP_LIMITS,
    readyListener: ReadyListener | undefined = undefined,
  ) {
    this.#writer = writer;
    this.#limits = limits;
    this.#readyListener = readyListener;
    const { groupsAtOnceMax: atOnceMax = 1, besideCountMin = 1, besideAfterMs } = limits;
    const bounds = { atOnceMax, besideCountMin, besideAfterMs };
    this.#beside = new Beside(bounds, () => this.#formNext());
  }

  /** Takes a write, or rejects it with `OVERLOADED`. */
  add(write: Write): void {
    if (this.#waitingBytes + write.bytes > this.#limits.waitingBytesMax) {
      write.reject(new EncServerError('OVERLOADED', 'too many writes wait for the disk'));
      return;
    }
    this.#waitingBytes += write.bytes;
    const last = this.#lastOfKey.get(write.name);
    this.#lastOfKey.set(write.name, write);
    if (last === undefined) this.#makeReady(write);
    else last.next = write;
    this.#formNext();
  }

  /** Rejects the waiting writes. Groups under way stay with their writer. */
  failWaiting(error: EncServerError): void {
    // The first waiting write of each key; the later ones are linked to it.
    const failed = this.#ready;
    this.#ready = [];
    this.#beside.end();
    this.#waitingBytes = 0;
    this.#lastOfKey.clear();
    for (const write of [...this.#underWay].flat()) {
      if (write.next !== undefined) failed.push(write.next);
      write.next = undefined;
      this.#lastOfKey.set(write.name, write);
    }
    for (const first of failed) {
      for (let write: Write | undefined = first; write !== undefined; write = write.next) {
        write.reject(error);
      }
    }
  }

  /** Resolves when nothing waits and nothing is under way. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  get #mayBegin(): boolean {
    return !this.#isForming && this.#beside.mayBegin(this.#ready.length, this.#underWay.size);
  }

  get #isIdle(): boolean {
    return !this.#isForming && this.#underWay.size === 0 && this.#settling.size === 0;
  }

  #makeReady(write: Write): void {
    this.#ready.push(write);
    this.#readyListener?.(write);
  }

  /**
   * Deferred: what else arrives in this turn belongs in the same group, and so does what the
   * callers that were just answered send next.
   */
  #formNext(): void {
    if (!this.#mayBegin) {
      if (this.#ready.length > 0 && !this.#isForming) this.#beside.wait();
      return;
    }
    this.#isForming = true;
    setImmediate(() => {
      this.#isForming = false;
      if (this.#ready.length > 0) void this.#write(this.#takeGroup());
      else this.#noteIdle();
    });
  }

  async #write(group: readonly Write[]): Promise<void> {
    this.#underWay.add(group);
    // More than one group may be ready.
    this.#formNext();
    const sinceMs = performance.now();
    this.meter.writes.observe(group.length);
    let settle: Settle | undefined;
    try {
      settle = (await this.#writer(group)) ?? undefined;
    } catch (thrown) {
      // A writer settles its writes itself; this covers a defect in it. Settling twice does
      // nothing.
      for (const write of group) write.reject(toEncServerError(thrown));
    }
    this.meter.seconds.observe((performance.now() - sinceMs) / 1_000);
    this.#release(group);
    this.#underWay.delete(group);
    if (settle === undefined) {
      this.#formNext();
      this.#noteIdle();
      return;
    }
    // With nothing left to write there is no reason to wait, unless earlier callers are not told
    // yet.
    const isLast = this.#ready.length === 0 && !this.#isForming && this.#settling.size === 0;
    if (isLast) {
      settle();
      this.#noteIdle();
      return;
    }
    // The disk goes on with what waits, while the callers of this group are answered.
    this.#settling.add(group);
    setImmediate(() => {
      settle();
      this.#settling.delete(group);
      this.#noteIdle();
    });
    if (this.#mayBegin) void this.#write(this.#takeGroup());
  }

  #noteIdle(): void {
    if (!this.#isIdle) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  #takeGroup(): Write[] {
    this.#beside.end();
    const { groupBytesMax, groupCountMax } = this.#limits;
    let count = 0;
    let bytes = 0;
    for (const write of this.#ready) {
      if (count === groupCountMax || (count > 0 && bytes + write.bytes > groupBytesMax)) break;
      bytes += write.bytes;
      count++;
    }
    this.#waitingBytes -= bytes;
    return this.#ready.splice(0, count);
  }

  /** Makes the next write to each key of a group ready. */
  #release(group: readonly Write[]): void {
    for (const write of group) {
      if (write.next !== undefined) this.#makeReady(write.next);
      else this.#lastOfKey.delete(write.name);
    }
  }
}
