/**
 * The contract of a store: an ordered map from keys to values, which are durable once acknowledged.
 * One suite, `test/contract/store-suite.ts`, runs against every implementation.
 */
import type { StoreKind } from '../config/store-kinds.ts';

/** First byte of a store key. */
export const TABLE = {
  /** Facts about the store itself: its ID, its keyring. */
  META: 0x00,
  /** Records under pseudonyms; keys of {@link RECORD_KEY_BYTES}. */
  RECORDS: 0x01,
  /** Tokens of foreign front ends, kept literally; keys of 2 to 4097 bytes. */
  FOREIGN: 0x02,
} as const;

/** Key of a record, in bytes: table, key number, namespace group and SIV (docs/ENVELOPE.md). */
export const RECORD_KEY_BYTES = 27;
/** Size of a revision, in bytes. */
export const REVISION_BYTES = 8;

/** What is stored under a key. The store interprets neither head nor body. */
export interface Value {
  /** Small: sealed ID and envelope header; at most 4 KiB. */
  readonly head: Buffer;
  /** The sealed record; its length is bounded by the configuration. */
  readonly body: Buffer;
  /** Milliseconds since 1970 (UTC) from which the value counts as absent; 0 is never. */
  readonly expiryMs: number;
  /** 8 bytes: of a value that is moved and keeps its revision. Without it, the store draws one. */
  readonly revision?: Buffer | undefined;
}

/** A stored value without its body. */
export interface StoredHead {
  /** As it was written; at most 4 KiB. */
  readonly head: Buffer;
  /** Milliseconds since 1970 (UTC); 0 is never. */
  readonly expiryMs: number;
  /** 8 random bytes, drawn by the store at each write. */
  readonly revision: Buffer;
  /** Length of the body, in bytes. */
  readonly bodyBytes: number;
}

/** A stored value. */
export interface StoredValue extends StoredHead {
  /** Undefined if it is larger than the reader accepts. */
  readonly body: Buffer | undefined;
}

/** The condition of a write. If it does not hold: `CONFLICT`, and nothing is changed. */
export type Condition =
  | {
      /** Whatever is there. */
      readonly kind: 'always';
    }
  | {
      /** If nothing is there. */
      readonly kind: 'absent';
    }
  | {
      /** If what is there is this revision. */
      readonly kind: 'revision';
      /** 8 bytes. */
      readonly revision: Buffer;
    };

export const ALWAYS: Condition = { kind: 'always' };
export const IF_ABSENT: Condition = { kind: 'absent' };
export function ifRevision(revision: Buffer): Condition {
  return { kind: 'revision', revision };
}

/** The result of a write. */
export interface PutResult {
  /** 8 bytes that name this very write. */
  readonly revision: Buffer;
  /** Whether a value (that had not expired) was there before. */
  readonly replaced: boolean;
}

/** One value of a page, without its body. */
export interface ScanItem extends StoredHead {
  /** Its store key. */
  readonly key: Buffer;
}

export interface ScanPage {
  /** In ascending order of keys, bytewise. */
  readonly items: readonly ScanItem[];
  /** Whether more follow the last one. */
  readonly more: boolean;
}

export interface StoreStats {
  readonly kind: StoreKind;
  /** Its location, for people; never with a password. */
  readonly place: string;
  /** Approximate bytes on disk; 0 if unknown. */
  readonly bytes: number;
  /** Approximate number of records. */
  readonly records: number;
}

/**
 * A view of the store. In LevelDB no later write changes it; MongoDB reads what is there at the time
 * (`lib/store/mongo-snapshot.ts`). Must be closed.
 */
export interface Snapshot extends Pick<Store, 'get' | 'scan'> {
  close(): Promise<void>;
}

/**
 * All methods reject with {@link EncServerError}: `CONFLICT` for a condition that does not hold,
 * `UNAVAILABLE` if the store did not do it, `UNKNOWN_OUTCOME` if a write may or may not have been
 * done, `OVERLOADED` if too much waits, `STORE_DAMAGED` if the stored bytes are not a value. A
 * write that resolves is durable.
 */
export interface Store {
  put(key: Buffer, value: Value, condition?: Condition): Promise<PutResult>;
  /** Bodies above `bodyBytesMax` (default: no limit) are left out of the result. */
  get(key: Buffer, bodyBytesMax?: number): Promise<StoredValue | undefined>;
  /** As `get` for each key, in their order; in LevelDB seen at one moment. */
  getMany(keys: readonly Buffer[], bodyBytesMax?: number): Promise<(StoredValue | undefined)[]>;
  head(key: Buffer): Promise<StoredHead | undefined>;
  /**
   * Resolves to whether there was something. Deleting what is not there succeeds unless a condition
   * is given.
   */
  delete(key: Buffer, condition?: Condition): Promise<boolean>;
  /**
   * Keys that begin with `prefix` (at least the table byte) and lie after `after`. Limit 1 to
   * 10,000.
   */
  scan(prefix: Buffer, after: Buffer | undefined, limit: number): Promise<ScanPage>;
  stats(): Promise<StoreStats>;
  snapshot(): Promise<Snapshot>;
  /** Whether writes are taken at the moment, and if not, why, in words. */
  health(): { readonly ok: boolean; readonly reason: string };
  /** Finishes what is under way, then closes. */
  close(): Promise<void>;
}
