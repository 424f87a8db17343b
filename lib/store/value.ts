/**
 * How a value lies in LevelDB. Integers are big-endian.
 *
 * | bytes | what |
 * |---|---|
 * | 1 | format, `01` |
 * | 8 | revision |
 * | 8 | expiry, milliseconds since 1970 (UTC); 0 is never |
 * | 4 | size of the body |
 * | 2 | size of the head |
 * | | head |
 * | | body, or nothing when it lies under a key of its own |
 *
 * A small body lies here, since LevelDB reads a whole block for the head anyway. A large one
 * lies apart, so that heads, scans and conditions never load it.
 */
import { EncServerError } from '../errors.ts';
import { FRAME_BYTES_CEILING, HEAD_BYTES_MAX } from '../protocol/limits.ts';
import { readMs, writeMs } from './keys.ts';
import {
  type Condition,
  REVISION_BYTES,
  type StoredHead,
  type StoredValue,
  type Value,
} from './store.ts';

/** Longest body, in bytes: what a frame can bring. */
export const BODY_BYTES_MAX = FRAME_BYTES_CEILING;
/** Longest body that lies with its head, in bytes: one block of LevelDB. */
export const INLINE_BYTES_MAX = 4096;

/** All of a record's key. */
const KEY_BYTES_SHOWN = 32;

const FORMAT = 1;
const REVISION_START = 1;
const EXPIRY_START = REVISION_START + REVISION_BYTES;
const BODY_SIZE_START = EXPIRY_START + 8;
const HEAD_SIZE_START = BODY_SIZE_START + 4;
const HEAD_START = HEAD_SIZE_START + 2;

/** A value as it was read, before its parts are cut out. */
export interface Decoded {
  readonly raw: Buffer;
  readonly expiryMs: number;
  readonly bodyBytes: number;
  readonly headEnd: number;
}

/**
 * Checks a value that a caller wants to store.
 *
 * @throws EncServerError `INVALID_FIELD` for the head or the expiry, `RECORD_TOO_LARGE`
 */
export function checkValue(value: Value): void {
  if (value.head.length > HEAD_BYTES_MAX) {
    throw new EncServerError('INVALID_FIELD', `a head has at most ${HEAD_BYTES_MAX} bytes`);
  }
  if (value.body.length > BODY_BYTES_MAX) {
    throw new EncServerError('RECORD_TOO_LARGE', `a body has at most ${BODY_BYTES_MAX} bytes`);
  }
  if (!Number.isSafeInteger(value.expiryMs) || value.expiryMs < 0) {
    throw new EncServerError('INVALID_FIELD', 'an expiry is a whole number of milliseconds');
  }
  if (value.revision !== undefined) checkRevision(value.revision);
}

/**
 * Checks the condition of a caller's write.
 *
 * @throws EncServerError `INVALID_FIELD`
 */
export function checkCondition(condition: Condition): void {
  if (condition.kind === 'revision') checkRevision(condition.revision);
}

function checkRevision(revision: Buffer): void {
  if (revision.length === REVISION_BYTES) return;
  throw new EncServerError('INVALID_FIELD', `a revision has ${REVISION_BYTES} bytes`);
}

/** Whether a body of this size lies under a key of its own. */
export function liesApart(bodyBytes: number): boolean {
  return bodyBytes > INLINE_BYTES_MAX;
}

/** The bytes to store; without the body if it lies apart. */
export function encodeValue(value: Value, revision: Buffer): Buffer {
  const { head, body, expiryMs } = value;
  const inlineBytes = liesApart(body.length) ? 0 : body.length;
  const raw = Buffer.allocUnsafe(HEAD_START + head.length + inlineBytes);
  raw[0] = FORMAT;
  revision.copy(raw, REVISION_START);
  writeMs(raw, expiryMs, EXPIRY_START);
  raw.writeUInt32BE(body.length, BODY_SIZE_START);
  raw.writeUInt16BE(head.length, HEAD_SIZE_START);
  head.copy(raw, HEAD_START);
  if (inlineBytes > 0) body.copy(raw, HEAD_START + head.length);
  return raw;
}

/**
 * Reads the bytes that {@link encodeValue} wrote.
 *
 * @param key - under which they lie, for whoever has to look for them
 * @throws EncServerError `STORE_DAMAGED`
 */
export function decodeValue(raw: Buffer, key: Buffer): Decoded {
  const decoded = decodeOrUndefined(raw);
  if (decoded === undefined) throw damaged(key);
  return decoded;
}

/** As {@link decodeValue}; undefined where these are no bytes that {@link encodeValue} wrote. */
export function decodeOrUndefined(raw: Buffer): Decoded | undefined {
  if (raw.length < HEAD_START || raw[0] !== FORMAT) return undefined;
  const bodyBytes = raw.readUInt32BE(BODY_SIZE_START);
  const headEnd = HEAD_START + raw.readUInt16BE(HEAD_SIZE_START);
  const rest = raw.length - headEnd;
  // Either the whole body follows the head, or nothing, if the body lies apart.
  if (rest !== bodyBytes && rest !== 0) return undefined;
  return { raw, expiryMs: readMs(raw, EXPIRY_START), bodyBytes, headEnd };
}

/** Whether the body lies under a key of its own. */
export function hasBodyApart(decoded: Decoded): boolean {
  return decoded.bodyBytes > 0 && decoded.headEnd === decoded.raw.length;
}

/** Whether the value counts as absent at this time. */
export function isExpired(decoded: Decoded, nowMs: number): boolean {
  return decoded.expiryMs !== 0 && decoded.expiryMs <= nowMs;
}

/** Whether this is the revision of the value. */
export function hasRevision(decoded: Decoded, revision: Buffer): boolean {
  return revision.equals(decoded.raw.subarray(REVISION_START, EXPIRY_START));
}

/** The value for a caller. Head and inline body are views of the bytes that were read. */
export function storedValue(decoded: Decoded, body: Buffer | undefined): StoredValue {
  const { raw, expiryMs, bodyBytes, headEnd } = decoded;
  return {
    head: raw.subarray(HEAD_START, headEnd),
    body,
    expiryMs,
    revision: raw.subarray(REVISION_START, EXPIRY_START),
    bodyBytes,
  };
}

/**
 * The value without its body. Copied, so that a page of heads does not keep the bodies in memory.
 */
export function storedHead(decoded: Decoded): StoredHead {
  const { raw, expiryMs, bodyBytes, headEnd } = decoded;
  return {
    head: Buffer.from(raw.subarray(HEAD_START, headEnd)),
    expiryMs,
    revision: Buffer.from(raw.subarray(REVISION_START, EXPIRY_START)),
    bodyBytes,
  };
}

/** The body stored with its head. */
export function inlineBody(decoded: Decoded): Buffer {
  return decoded.raw.subarray(decoded.headEnd);
}

/** The error for malformed bytes under a key. */
export function damaged(key: Buffer): EncServerError {
  return new EncServerError('STORE_DAMAGED', `the value under ${shownKey(key)} is damaged`);
}

/**
 * A store key as errors name it: in hexadecimal, cut where it is long. It is a pseudonym, and no
 * secret.
 */
export function shownKey(key: Buffer): string {
  const hex = key.toString('hex', 0, KEY_BYTES_SHOWN);
  return `the store key ${key.length > KEY_BYTES_SHOWN ? `${hex}…` : hex}`;
}
