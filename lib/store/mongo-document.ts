/**
 * How a value lies in MongoDB: one document in the collection `values`.
 *
 * | field | what |
 * |---|---|
 * | `_id` | store key, binary |
 * | `h` | head, binary |
 * | `r` | revision, binary of 8 bytes |
 * | `n` | size of the body in bytes, a number |
 * | `v` | the body, binary, up to 64 KiB |
 * | `b` | the body, binary, above 64 KiB |
 * | `e` | when it expires, a date; absent is never |
 * | `k` | the key in hexadecimal; absent for records |
 *
 * A large body has a field of its own, so that a projection can leave it out when heads and small
 * values are read: the filter can stay `_id` alone, which MongoDB answers fastest.
 *
 * MongoDB orders binary by length before it looks at a byte. Keys of records have one length, so
 * `_id` has them in order; the others are scanned by `k`, since hexadecimal is in their order.
 */
import { EncServerError } from '../errors.ts';
import { HEAD_BYTES_MAX } from '../protocol/limits.ts';
import { endOfPrefix } from './keys.ts';
import {
  RECORD_KEY_BYTES,
  REVISION_BYTES,
  type StoredHead,
  type StoredValue,
  TABLE,
  type Value,
} from './store.ts';
import { shownKey } from './value.ts';

/** The only collection. */
export const COLLECTION_NAME = 'values';
/** Longest body that is stored as `v`, in bytes: what the small lane of a back end carries. */
export const SMALL_BODY_BYTES_MAX = 64 * 1024;
/** Longest body, in bytes: a document has at most 16 MiB, and its other fields need some. */
export const MONGO_BODY_BYTES_MAX = 16 * 1024 * 1024 - 64 * 1024;
/** The latest time that a JavaScript date can hold, in milliseconds since 1970. */
const DATE_MS_MAX = 8.64e15;

export interface ValueDocument {
  _id: Buffer;
  h: Buffer;
  r: Buffer;
  n: number;
  v?: Buffer;
  b?: Buffer;
  /**
   * Beyond the latest date this is a number, so neither MongoDB nor this program lets it expire.
   */
  e?: Date | number;
  k?: string;
}

/** Projections, by what a reader needs. */
export const HEADS_ONLY = { v: 0, b: 0 } as const;
export const SMALL_BODIES = { b: 0 } as const;

/**
 * The document of a value.
 *
 * @throws EncServerError `RECORD_TOO_LARGE`, `INVALID_FIELD` for a record's key of another length
 */
export function encodeDocument(key: Buffer, value: Value, revision: Buffer): ValueDocument {
  const { head, body, expiryMs } = value;
  const document: ValueDocument = { _id: key, h: head, r: revision, n: body.length };
  if (body.length > SMALL_BODY_BYTES_MAX) document.b = body;
  else document.v = body;
  if (expiryMs > 0) document.e = expiryMs > DATE_MS_MAX ? expiryMs : new Date(expiryMs);
  if (key[0] !== TABLE.RECORDS) document.k = key.toString('hex');
  return document;
}

/**
 * Checks the limits that only MongoDB has.
 *
 * @throws EncServerError `RECORD_TOO_LARGE`; `INVALID_FIELD` for a record's key of another length
 */
export function checkDocument(key: Buffer, value: Value): void {
  if (value.body.length > MONGO_BODY_BYTES_MAX) {
    const words = `in MongoDB a body has at most ${MONGO_BODY_BYTES_MAX} bytes`;
    throw new EncServerError('RECORD_TOO_LARGE', words);
  }
  if (key[0] === TABLE.RECORDS && key.length !== RECORD_KEY_BYTES) {
    const words = `in MongoDB the key of a record has ${RECORD_KEY_BYTES} bytes`;
    throw new EncServerError('INVALID_FIELD', words);
  }
}

/**
 * A document's value without its body.
 *
 * @throws EncServerError `STORE_DAMAGED`
 */
export function decodeHead(document: ValueDocument): StoredHead {
  const { h, r, n, e } = document;
  const expiryMs = e instanceof Date ? e.getTime() : (e ?? 0);
  const isWhole =
    Buffer.isBuffer(h) &&
    h.length <= HEAD_BYTES_MAX &&
    Buffer.isBuffer(r) &&
    r.length === REVISION_BYTES &&
    isWithin(n, MONGO_BODY_BYTES_MAX) &&
    isWithin(expiryMs, Number.MAX_SAFE_INTEGER);
  if (isWhole) {
    return { head: h, expiryMs, revision: r, bodyBytes: n };
  }
  throw damaged(document);
}

/** Whether it is a whole number from 0 to `max`. */
function isWithin(number: unknown, max: number): boolean {
  return Number.isInteger(number) && Number(number) >= 0 && Number(number) <= max;
}

/**
 * A document's value; without its body if that is larger than the reader accepts.
 *
 * @throws EncServerError `STORE_DAMAGED`
 */
export function decodeValue(document: ValueDocument, bodyBytesMax: number): StoredValue {
  const stored = decodeHead(document);
  if (stored.bodyBytes > bodyBytesMax) return { ...stored, body: undefined };
  const body = document.v ?? document.b;
  if (Buffer.isBuffer(body) && body.length === stored.bodyBytes) return { ...stored, body };
  throw damaged(document);
}

/** Whether the value counts as absent at this time, whether or not MongoDB has removed it yet. */
export function isExpired(document: Pick<ValueDocument, 'e'>, nowMs: number): boolean {
  return document.e instanceof Date && document.e.getTime() <= nowMs;
}

/** Matches documents that have not expired. */
export function live(nowMs: number) {
  return { e: { $not: { $lte: new Date(nowMs) } } };
}

/** The part of a query that selects one page of a scan, and its order. */
export interface PageQuery {
  readonly filter: Readonly<Record<string, object>>;
  readonly sort: { readonly _id: 1 } | { readonly k: 1 };
}

/** Keys that begin with `prefix` and lie after `after`, bytewise. */
export function pageQuery(prefix: Buffer, after: Buffer | undefined): PageQuery {
  const isInside = after !== undefined && after.compare(prefix) >= 0;
  if (prefix[0] !== TABLE.RECORDS) {
    const from = isInside ? { $gt: after.toString('hex') } : { $gte: prefix.toString('hex') };
    const k = { ...from, $lt: endOfPrefix(prefix).toString('hex') };
    return { filter: { k }, sort: { k: 1 } };
  }
  const $lt = padded(endOfPrefix(prefix));
  if (!isInside) return { filter: { _id: { $gte: padded(prefix), $lt } }, sort: { _id: 1 } };
  // Every record key that begins with a shorter `after` lies after it.
  const isShorter = after.length < RECORD_KEY_BYTES;
  const from = isShorter ? { $gte: padded(after) } : { $gt: padded(after) };
  return { filter: { _id: { ...from, $lt } }, sort: { _id: 1 } };
}

/** The first key of a record's length at or after these bytes; truncated if they are longer. */
function padded(bytes: Buffer): Buffer {
  const key = Buffer.alloc(RECORD_KEY_BYTES);
  bytes.copy(key);
  return key;
}

function damaged({ _id }: ValueDocument): EncServerError {
  const which = Buffer.isBuffer(_id) ? ` under ${shownKey(_id)}` : '';
  const words = `the document${which} in MongoDB is no value of this program`;
  return new EncServerError('STORE_DAMAGED', words);
}
