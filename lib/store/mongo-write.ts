/**
 * Writing to MongoDB. The puts of a group are inserted by one command; those whose key exists
 * already come back as duplicates, are looked up together, and decided. If most puts of the last
 * group existed already, the next group is looked up first.
 */
import type { Collection } from 'mongodb';
import { EncServerError } from '../errors.ts';
import type { Write } from './group.ts';
import type { Answered } from './mongo-answers.ts';
import { encodeDocument, isExpired, live, type ValueDocument } from './mongo-document.ts';
import { bulkFailure, maybeDone, notDone } from './mongo-error.ts';
import { nameOf } from './mongo-read.ts';
import { MongoRefusals } from './mongo-refusals.ts';
import { drawRevision } from './revision.ts';

/** Rounds of lookup and write; each time somebody else's write to the same key has won. */
const ROUNDS_MAX = 8;
const NO_REVISION = Buffer.alloc(0);

type Marks = Pick<ValueDocument, '_id' | 'r' | 'e'>;

/** A put with the revision that it has in every attempt, by which it is recognised. */
interface Put {
  readonly write: Write;
  readonly document: ValueDocument;
}

/** What is to be done with puts, after a lookup. */
interface Decided {
  /** Nothing is there. */
  readonly inserts: Put[];
  /** Whatever is there may be replaced. */
  readonly replaces: { readonly put: Put; readonly replaced: boolean }[];
  /** Only the revision that was seen may be replaced. */
  readonly exchanges: { readonly put: Put; readonly seen: Buffer; readonly replaced: boolean }[];
}

/** Writes groups. Several may be under way at once, since no key is in two of them. */
export class MongoWriter {
  readonly #collection: Collection<ValueDocument>;
  readonly #now: () => number;
  readonly #answered: Answered;
  /** For commands that write. */
  readonly #written: Answered;
  #looksFirst = false;

  /** @param now - milliseconds since 1970 (UTC) */
  constructor(
    collection: Collection<ValueDocument>,
    now: () => number,
    answered: Answered,
    refusals = new MongoRefusals(),
  ) {
    this.#collection = collection;
    this.#now = now;
    this.#answered = answered;
    this.#written = (command) => refusals.watch(answered(command));
  }

  /** Settles every write of a group. Never rejects. */
  async writeGroup(group: readonly Write[]): Promise<void> {
    const puts: Put[] = [];
    const work: Promise<void>[] = [];
    for (const write of group) {
      if (write.kind === 'put') puts.push(putOf(write));
      else work.push(this.#delete(write));
    }
    if (puts.length > 0) work.push(this.#put(puts));
    await Promise.all(work);
  }

  async #put(puts: readonly Put[]): Promise<void> {
    const looksFirst = this.#looksFirst;
    let rest = puts.filter((put) => looksFirst || mustLookFirst(put));
    const inserts = puts.filter((put) => !rest.includes(put));
    rest = rest.concat(await this.#insert(inserts));
    if (rest.length === 0) this.#looksFirst = false;
    for (let round = 0; rest.length > 0 && round < ROUNDS_MAX; round++) {
      const wasTried = (put: Put) => round > 0 || !(looksFirst || mustLookFirst(put));
      const decided = await this.#look(rest, wasTried);
      // An insert that finds a duplicate costs a round; so does a lookup that finds nothing.
      if (round === 0) this.#looksFirst = 2 * decided.replaces.length > puts.length;
      const again = await Promise.all([
        this.#insert(decided.inserts),
        this.#replace(decided.replaces),
        ...decided.exchanges.map((exchange) => this.#exchange(exchange)),
      ]);
      rest = again.flat();
    }
    for (const { write } of rest) write.reject(conflict());
  }

  /** Resolves to the puts whose key exists already. */
  async #insert(puts: readonly Put[]): Promise<Put[]> {
    if (puts.length === 0) return [];
    try {
      const documents = puts.map(({ document }) => document);
      await this.#written(this.#collection.insertMany(documents, { ordered: false }));
    } catch (thrown) {
      const { duplicates, refused, unknown } = bulkFailure(thrown);
      for (const [index, { write, document }] of puts.entries()) {
        const error = refused.get(index) ?? unknown;
        if (duplicates.has(index)) continue;
        if (error !== undefined) write.reject(error);
        else write.resolve({ revision: document.r, replaced: false });
      }
      return puts.filter((_put, index) => duplicates.has(index));
    }
    for (const { write, document } of puts) {
      write.resolve({ revision: document.r, replaced: false });
    }
    return [];
  }

  /** @param wasTried - whether an earlier attempt may have executed a put */
  async #look(puts: readonly Put[], wasTried: (put: Put) => boolean): Promise<Decided> {
    const decided: Decided = { inserts: [], replaces: [], exchanges: [] };
    let found: Marks[];
    try {
      const filter = { _id: { $in: puts.map(({ document }) => document._id) } };
      const options = { projection: { r: 1, e: 1 }, batchSize: puts.length + 1 } as const;
      found = await this.#answered(this.#collection.find<Marks>(filter, options).toArray());
    } catch (thrown) {
      for (const put of puts) put.write.reject(wasTried(put) ? maybeDone(thrown) : notDone(thrown));
      return decided;
    }
    const seen = new Map(found.map((marks) => [nameOf(marks._id), marks]));
    const nowMs = this.#now();
    for (const put of puts) {
      decide(put, seen.get(put.write.name), wasTried(put), nowMs, decided);
    }
    return decided;
  }

  /** Puts without a condition, in one command. Resolves to those that must be tried again. */
  async #replace(replaces: Decided['replaces']): Promise<Put[]> {
    if (replaces.length === 0) return [];
    let failure: ReturnType<typeof bulkFailure> | undefined;
    /** By index: what was gone since the lookup. */
    let created: Readonly<Record<number, unknown>> = {};
    try {
      const operations = replaces.map(({ put: { document } }) => ({
        replaceOne: { filter: { _id: document._id }, replacement: document, upsert: true },
      }));
      const writing = this.#collection.bulkWrite(operations, { ordered: false });
      created = (await this.#written(writing)).upsertedIds;
    } catch (thrown) {
      failure = bulkFailure(thrown);
      created = failure.created;
    }
    const again: Put[] = [];
    for (const [index, { put, replaced }] of replaces.entries()) {
      const error = failure?.refused.get(index) ?? failure?.unknown;
      // Two servers created the same document at once: MongoDB makes one of them try again.
      if (failure?.duplicates.has(index) === true) again.push(put);
      else if (error !== undefined) put.write.reject(error);
      else {
        const isReplaced = replaced && !(index in created);
        put.write.resolve({ revision: put.document.r, replaced: isReplaced });
      }
    }
    return again;
  }

  /**
   * Replaces one revision by another. Resolves to the put if the revision that was seen is gone.
   */
  async #exchange(exchange: Decided['exchanges'][number]): Promise<Put[]> {
    const { put, seen, replaced } = exchange;
    const { write, document } = put;
    try {
      const filter = { _id: document._id, r: seen };
      const { matchedCount } = await this.#written(this.#collection.replaceOne(filter, document));
      if (matchedCount === 0) return [put];
      write.resolve({ revision: document.r, replaced });
    } catch (thrown) {
      write.reject(maybeDone(thrown));
    }
    return [];
  }

  async #delete(write: Write): Promise<void> {
    const { condition, key: _id } = write;
    const nowMs = this.#now();
    const projection = { _id: 0, e: 1 } as const;
    try {
      if (condition.kind === 'absent') {
        const found = await this.#answered(
          this.#collection.findOne({ _id, ...live(nowMs) }, { projection }),
        );
        if (found !== null) return write.reject(conflict());
        return write.resolve({ revision: NO_REVISION, replaced: false });
      }
      const isOne = condition.kind === 'revision';
      const filter = isOne ? { _id, r: condition.revision, ...live(nowMs) } : { _id };
      const gone = await this.#written(this.#collection.findOneAndDelete(filter, { projection }));
      if (isOne && gone === null) return write.reject(conflict());
      const replaced = gone !== null && !isExpired(gone, nowMs);
      write.resolve({ revision: NO_REVISION, replaced });
    } catch (thrown) {
      write.reject(maybeDone(thrown));
    }
  }
}

function putOf(write: Write): Put {
  if (write.value === undefined) throw new EncServerError('INTERNAL', 'a put without a value');
  return {
    write,
    document: encodeDocument(write.key, write.value, write.value.revision ?? drawRevision()),
  };
}

/** Whether the write brings its own revision, which another value may then have as well. */
function bringsRevision({ value }: Write): boolean {
  return value?.revision !== undefined;
}

/**
 * Replacing a revision requires that something is there. A write that brings its revision cannot
 * be recognised by it, so what was there before the first attempt must be looked up.
 */
function mustLookFirst({ write }: Put): boolean {
  const { kind } = write.condition;
  return kind === 'revision' || (kind === 'absent' && bringsRevision(write));
}

/**
 * Settles a put, or notes what is to be done for it.
 *
 * @param wasTried - whether it may have been done by an attempt before
 */
function decide(
  put: Put,
  found: Marks | undefined,
  wasTried: boolean,
  nowMs: number,
  decided: Decided,
): void {
  const { write, document } = put;
  const { condition } = write;
  const isLive = found !== undefined && !isExpired(found, nowMs);
  // A malformed revision matches no condition.
  const seen = Buffer.isBuffer(found?.r) ? found.r : NO_REVISION;
  const isSame = seen.equals(document.r);
  if (isSame && !bringsRevision(write)) {
    // An attempt by the driver succeeded, but its answer was lost.
    write.resolve({ revision: document.r, replaced: condition.kind === 'revision' });
  } else if (condition.kind === 'revision') {
    const isMeant = isLive && seen.equals(condition.revision);
    if (isMeant) decided.exchanges.push({ put, seen, replaced: true });
    else write.reject(isSame && wasTried ? oursOrAnothers() : conflict());
  } else if (found === undefined) {
    decided.inserts.push(put);
  } else if (condition.kind === 'always') {
    decided.replaces.push({ put, replaced: isLive });
  } else if (isLive) {
    write.reject(isSame && wasTried ? oursOrAnothers() : conflict());
  } else {
    decided.exchanges.push({ put, seen, replaced: false });
  }
}

/** What was not there before the first attempt is there now, and another may have brought it. */
function oursOrAnothers(): EncServerError {
  const words = 'the revision is there now, by this write or by another that brought it';
  return new EncServerError('UNKNOWN_OUTCOME', words);
}

function conflict(): EncServerError {
  return new EncServerError('CONFLICT', 'what is stored is not what the write expects');
}
