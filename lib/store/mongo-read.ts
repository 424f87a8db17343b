/** Reading from MongoDB: many values in one lookup, and pages. */
import type { Collection } from 'mongodb';
import { Beside } from './beside.ts';
import type { Answered } from './mongo-answers.ts';
import {
  decodeHead,
  decodeValue,
  HEADS_ONLY,
  isExpired,
  live,
  pageQuery,
  SMALL_BODIES,
  SMALL_BODY_BYTES_MAX,
  type ValueDocument,
} from './mongo-document.ts';
import { notDone } from './mongo-error.ts';
import type { Read } from './read.ts';
import type { ScanPage } from './store.ts';

/** What a lookup leaves out, by what its readers need, and the bounds of such lookups. */
interface ReadKind {
  readonly projection: Readonly<Partial<Record<keyof ValueDocument, 0>>>;
  /** Values of one lookup. */
  readonly countMax: number;
  /** A lookup this large is begun besides those under way; a smaller one waits a while and grows. */
  readonly besideCountMin: number;
}

/** 64 documents cost MongoDB and its driver little more than 8. */
const BOUNDS = { countMax: 1000, besideCountMin: 64 };
const HEADS: ReadKind = { projection: HEADS_ONLY, ...BOUNDS };
const SMALL: ReadKind = { projection: SMALL_BODIES, ...BOUNDS };
/** Large bodies come a few at a time, and never wait for each other. */
const LARGE: ReadKind = { projection: {}, countMax: 8, besideCountMin: 1 };
const KINDS: readonly ReadKind[] = [HEADS, SMALL, LARGE];
/**
 * What waits for others under way does so for this long, in milliseconds. The answer to those may
 * be lost, and it takes seconds until that is noticed.
 */
export const BESIDE_AFTER_MS = 50;
/** Lookups of one kind under way at once. */
const FINDS_AT_ONCE_MAX = 8;

function kindOf({ bodyBytesMax }: Read): ReadKind {
  if (bodyBytesMax < 0) return HEADS;
  return bodyBytesMax <= SMALL_BODY_BYTES_MAX ? SMALL : LARGE;
}

/** Combines reads into lookups. */
export class MongoReads {
  readonly #lanes: readonly ReadLane[];

  /** @param now - milliseconds since 1970 (UTC) */
  constructor(collection: Collection<ValueDocument>, now: () => number, answered: Answered) {
    this.#lanes = KINDS.map(
      ({ projection, ...kind }) =>
        new ReadLane({ projection, ...kind }, (reads) =>
          findValues(collection, reads, projection, now(), answered),
        ),
    );
  }

  /** Takes a read; it is done, together with others, at the end of this turn at the earliest. */
  add(read: Read): void {
    this.#lanes[KINDS.indexOf(kindOf(read))]?.add(read);
  }

  /** Resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.idle()));
  }
}

/** The reads of one kind. */
class ReadLane {
  readonly #kind: ReadKind;
  readonly #find: (reads: readonly Read[]) => Promise<void>;
  #waiting: Read[] = [];
  #findCount = 0;
  #isForming = false;
  readonly #beside: Beside;
  readonly #idleWaiters: (() => void)[] = [];

  /** @param find - settles every read, and never rejects */
  constructor(kind: ReadKind, find: (reads: readonly Read[]) => Promise<void>) {
    this.#kind = kind;
    this.#find = find;
    const { besideCountMin } = kind;
    const bounds = {
      atOnceMax: FINDS_AT_ONCE_MAX,
      besideCountMin,
      besideAfterMs: BESIDE_AFTER_MS,
    };
    this.#beside = new Beside(bounds, () => this.#formNext());
  }

  add(read: Read): void {
    this.#waiting.push(read);
    this.#formNext();
  }

  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  get #isIdle(): boolean {
    return !this.#isForming && this.#findCount === 0;
  }

  #formNext(): void {
    if (this.#isForming || this.#waiting.length === 0) return;
    if (!this.#beside.mayBegin(this.#waiting.length, this.#findCount)) {
      this.#beside.wait();
      return;
    }
    this.#beside.end();
    this.#isForming = true;
    setImmediate(() => {
      this.#isForming = false;
      void this.#findNext();
      this.#formNext();
    });
  }

  async #findNext(): Promise<void> {
    this.#findCount++;
    await this.#find(this.#waiting.splice(0, this.#kind.countMax));
    this.#findCount--;
    this.#formNext();
    if (this.#isIdle) for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}

/** Settles every read. Never rejects. */
async function findValues(
  collection: Collection<ValueDocument>,
  reads: readonly Read[],
  projection: ReadKind['projection'],
  nowMs: number,
  answered: Answered,
): Promise<void> {
  try {
    const names = new Map(reads.map(({ key }) => [nameOf(key), key]));
    const filter = { _id: { $in: [...names.values()] } };
    const batchSize = names.size + 1;
    const finding = collection.find(filter, { projection, batchSize }).toArray();
    const documents = await answered(finding);
    const found = new Map(documents.map((document) => [nameOf(document._id), document]));
    for (const read of reads) answer(read, found.get(nameOf(read.key)), nowMs);
  } catch (thrown) {
    const error = notDone(thrown);
    for (const read of reads) read.reject(error);
  }
}

function answer(read: Read, document: ValueDocument | undefined, nowMs: number): void {
  try {
    if (document === undefined || isExpired(document, nowMs)) read.resolve(undefined);
    else read.resolve(decodeValue(document, read.bodyBytesMax));
  } catch (thrown) {
    read.reject(notDone(thrown));
  }
}

/** A key as a string, for use in a map. */
export function nameOf(key: Buffer): string {
  return key.toString('latin1');
}

/**
 * One page of a scan. Values that are written meanwhile may or may not be in it.
 *
 * @throws EncServerError `STORE_DAMAGED`, `UNAVAILABLE`
 */
export async function readPage(
  collection: Collection<ValueDocument>,
  request: { prefix: Buffer; after: Buffer | undefined; limit: number },
  nowMs: number,
  answered: Answered,
): Promise<ScanPage> {
  const { prefix, after, limit } = request;
  const { filter, sort } = pageQuery(prefix, after);
  try {
    const query = { ...filter, ...live(nowMs) };
    const options = { projection: HEADS_ONLY, sort, limit: limit + 1, batchSize: limit + 2 };
    const documents = await answered(collection.find(query, options).toArray());
    const items = documents.slice(0, limit).map((one) => ({ key: one._id, ...decodeHead(one) }));
    return { items, more: documents.length > limit };
  } catch (thrown) {
    throw notDone(thrown);
  }
}
