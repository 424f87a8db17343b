/** How records are read: small ones at once, large ones when there is room, and some only once. */
import {
  decodeHeader,
  ENVELOPE_FLAG,
  open,
  proveKey,
  type RecordName,
  SEAL_OVERHEAD_BYTES,
} from '../crypto/envelope.ts';
import { decodeMetadata, type Metadata } from '../crypto/metadata.ts';
import { codeOf, EncServerError } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import { SMALL_LANE_BYTES_MAX } from '../protocol/limits.ts';
import {
  CHANGED_TRIES_MAX,
  callOf,
  hasEnded,
  isExpired,
  KeyUntried,
  notFound,
  noting,
} from './calls.ts';
import { othersGoOn } from './despite-others.ts';
import type { KeyringKeeper } from './keeper.ts';
import { isLegacyHeader, LegacyRecords } from './legacy.ts';
import { claimRecord, readAgain } from './once.ts';
import type { FoundRecord, Placement } from './placement.ts';

export interface ReadRecord {
  readonly record: Buffer;
  readonly contentType: string | undefined;
  /** 8 bytes. */
  readonly revision: Buffer;
  /** Milliseconds since 1970; 0 is never. */
  readonly expiryMs: number;
  /** Whether this was the only time that it can be read. */
  readonly once: boolean;
  /** Its reader has read it before: the revision is not the one that it had then. */
  readonly again?: true;
}

/** The caller's record key, or the one that the server keeps. */
export type OpeningKey = Buffer | 'kept';

type Claims = boolean | ((revision: Buffer) => boolean);

/** How a record is read. */
export interface ReadOptions {
  /**
   * 16 to 64 random bytes: whoever sends the same again within a minute may read a record again
   * that can be read once.
   */
  readonly reader?: Buffer | undefined;
  /** A longer record is refused as `LARGE`, and does not count as read. */
  readonly acceptBytesMax?: number | undefined;
  /** Throws if the answer cannot show the record, which then does not count as read. */
  readonly check?: ((record: Buffer) => void) | undefined;
  /**
   * False to look only: a record that can be read once stays unread. A function decides that by the
   * revision that is returned.
   */
  readonly claims?: Claims;
  /** Refuses a record of another revision as `CONFLICT`, before the key is tried: 8 bytes. */
  readonly expected?: Buffer;
}

/** One request to read. */
interface Read {
  readonly name: RecordName;
  readonly key: OpeningKey;
  /** The reader's token, 16 to 64 bytes. */
  readonly reader: Buffer | undefined;
  readonly context: RequestContext;
  /** A longer record is refused as `LARGE`, before it counts as read. */
  readonly acceptBytesMax: number;
  readonly check: ((record: Buffer) => void) | undefined;
  /** Whether a record that can be read once counts as read. */
  readonly claims: Claims;
  readonly expected: Buffer | undefined;
}

/** The parts of the header that are returned. */
type HeaderFacts = Pick<ReadRecord, 'expiryMs' | 'once'>;

export interface ReaderOptions {
  readonly placement: Placement;
  readonly keeper: KeyringKeeper;
  readonly budget: Budget;
  readonly recordBytesMax: number;
}

const NO_METADATA: Metadata = {};

export class Reader {
  readonly #options: ReaderOptions;
  readonly #legacy: LegacyRecords;

  constructor(options: ReaderOptions) {
    this.#options = options;
    const { placement, keeper, budget } = options;
    this.#legacy = new LegacyRecords(placement, keeper, budget);
  }

  /** Rejects with `NOT_FOUND`, `WRONG_KEY`, `ALTERED`, `ALREADY_READ` or `UNAVAILABLE`. */
  read(
    name: RecordName,
    key: OpeningKey,
    options: ReadOptions,
    context: RequestContext,
  ): Promise<ReadRecord> {
    const { acceptBytesMax = Number.POSITIVE_INFINITY, claims = true } = options;
    const { reader, check, expected } = options;
    const read = { name, key, reader, acceptBytesMax, check, context, claims, expected };
    return this.#readWithin(SMALL_LANE_BYTES_MAX, read).catch((thrown: unknown) => {
      if (!isLarge(thrown)) throw thrown;
      return this.#readLarge(thrown, read);
    });
  }

  /** A large body is requested only once there is room for it, sealed and opened. */
  async #readLarge(large: EncServerError, read: Read): Promise<ReadRecord> {
    const { budget, recordBytesMax } = this.#options;
    for (let tries = 1, error = large; ; tries++) {
      const sizeBytes = error.sizeBytes ?? 0;
      if (tries > CHANGED_TRIES_MAX) throw error;
      if (sizeBytes > recordBytesMax + SEAL_OVERHEAD_BYTES) {
        throw await this.#tooLarge(read, sizeBytes);
      }
      const roomBytes = Math.min(2 * sizeBytes, budget.shareBytesMax);
      await budget.reserved(roomBytes, read.context);
      try {
        return await this.#readWithin(sizeBytes, read);
      } catch (thrown) {
        if (!isLarge(thrown)) throw thrown;
        error = thrown;
      } finally {
        budget.release(roomBytes);
      }
    }
  }

  /** What is told of a record that is not read is for callers with its key. */
  async #tooLarge({ name, key, context }: Read, sizeBytes: number): Promise<EncServerError> {
    const { header, askedAtMs } = await this.#options.placement.head(name, callOf(context));
    if (isExpired(header, askedAtMs)) throw notFound();
    const words = `a sealed record of ${sizeBytes} bytes`;
    // A record of the family proves its key only by its body.
    if (isLegacyHeader(header)) return new KeyUntried('RECORD_TOO_LARGE', words);
    if (key !== 'kept') noting(context, () => proveKey(header, name, key));
    return new EncServerError('RECORD_TOO_LARGE', words);
  }

  async #readWithin(acceptBytes: number, read: Read): Promise<ReadRecord> {
    const { name, context } = read;
    for (let tries = 1; ; tries++) {
      // Cancelling is worth its cost only for large bodies.
      const signal = acceptBytes > SMALL_LANE_BYTES_MAX ? context.signal : undefined;
      const call = callOf(context, signal);
      const found = await this.#options.placement.get(name, acceptBytes, call);
      const { flags, expiryMs } = decodeHeader(found.header);
      // Reported before the key is tried: an expired record does not exist for any caller. A store
      // that alters the time can make it expire sooner, but it could also just withhold it.
      if (hasEnded(expiryMs, found.askedAtMs)) throw notFound();
      checkIsExpected(found, read);
      if (isLegacyHeader(found.header)) return await this.#readLegacy(found, read);
      const facts = { expiryMs, once: (flags & ENVELOPE_FLAG.once) !== 0 };
      // A record that has been read is replaced by a tombstone, which no key opens.
      const looks = found.claim === undefined && !doesClaim(read, found.revision);
      if (!facts.once || looks) return this.#open(found, facts, read);
      try {
        return await this.#readOnce(found, facts, acceptBytes, read);
      } catch (error) {
        // Somebody else was first: look at what is there now.
        if (codeOf(error) !== 'CONFLICT') throw error;
        if (tries >= CHANGED_TRIES_MAX) throw othersGoOn();
      }
    }
  }

  async #readOnce(
    found: FoundRecord,
    facts: HeaderFacts,
    acceptBytes: number,
    read: Read,
  ): Promise<ReadRecord> {
    const { name, reader, context } = read;
    const { placement } = this.#options;
    const call = callOf(context);
    if (found.claim === undefined) {
      // Opened before it is claimed: a wrong key claims nothing.
      const opened = this.#open(found, facts, read);
      await claimRecord(placement, name, found, reader, call);
      return opened;
    }
    const { header, claim } = found;
    const key = this.#keyFor(header, read);
    noting(context, () => proveKey(header, name, key));
    const copy = await readAgain(placement, name, { header, claim }, reader, acceptBytes, call);
    const opened = this.#open({ ...copy, revision: found.revision }, facts, read);
    return { ...opened, again: true };
  }

  async #readLegacy(found: FoundRecord, read: Read): Promise<ReadRecord> {
    const { name, context } = read;
    const key = this.#keyFor(found.header, read);
    const record = this.#legacy.open(found, key, context);
    checkFits(record, read);
    const revision = await this.#legacy.renew(name, found, key, record, context);
    return { record, contentType: undefined, revision, expiryMs: 0, once: false };
  }

  #open(found: FoundRecord, facts: HeaderFacts, read: Read): ReadRecord {
    const { header, body, revision } = found;
    const { name, context } = read;
    const { expiryMs, once } = facts;
    const key = this.#keyFor(header, read);
    const { record, metadata } = noting(context, () => open(header, body, name, key));
    const { contentType } = metadata.length === 0 ? NO_METADATA : decodeMetadata(metadata);
    checkFits(record, read);
    return { record, contentType, revision, expiryMs, once };
  }

  #keyFor(header: Buffer, { key, name }: Read): Buffer {
    return key === 'kept' ? this.#options.keeper.ring.unwrap(header, name) : key;
  }
}

/** A key that another revision has replaced is no wrong one. */
function checkIsExpected({ revision }: FoundRecord, { expected }: Read): void {
  if (expected === undefined || expected.equals(revision)) return;
  throw new EncServerError('CONFLICT', 'the record was changed in between');
}

function doesClaim({ claims }: Read, revision: Buffer): boolean {
  return typeof claims === 'function' ? claims(revision) : claims;
}

/** The store's answer for a body above the requested size. */
function isLarge(error: unknown): error is EncServerError {
  return codeOf(error) === 'LARGE' && !(error instanceof TooLargeForReader);
}

/** Called before a record counts as read. @throws EncServerError `LARGE`, and as `check` does */
function checkFits(record: Buffer, { acceptBytesMax, check }: Read): void {
  if (record.length > acceptBytesMax) throw new TooLargeForReader(record.length);
  check?.(record);
}

/** The record is longer than its reader accepts. */
class TooLargeForReader extends EncServerError {
  constructor(sizeBytes: number) {
    super('LARGE', `the record has ${sizeBytes} bytes`, { sizeBytes });
  }
}
