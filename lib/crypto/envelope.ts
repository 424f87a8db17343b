/**
 * Seals and opens records. `docs/ENVELOPE.md` specifies the format; the tests use its vectors.
 *
 * From the record key and the context (header and name), one derivation gives an encryption key and
 * a commitment. So a key that a caller uses for many records never encrypts two of them directly,
 * and no two keys open the same envelope, which plain GCM would allow.
 */

import { timingSafeEqual } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { openAead, sealAead, TAG_BYTES } from './aead.ts';
import { altered, wrongKey } from './altered.ts';
import {
  COMMITMENT_AT,
  contextOf,
  decodeHeader,
  ENVELOPE_FLAG,
  type EnvelopeHeader,
  HEADER_BYTES,
  HEADER_KEPT_BYTES,
  NONCE_BYTES,
  SUITE_AES_256_GCM,
  WRAPPED_KEY_AT,
  writeHeaderStart,
} from './header.ts';
import { checkKeyLength, deriveKey } from './kdf.ts';
import { checkMetadataLength, METADATA_BYTES_MAX } from './metadata.ts';
import { randomBytesPooled } from './random.ts';
import { checkName, encodeName, nameBytes, type RecordName } from './record-name.ts';
import { type WrapSecret, wrapUnder } from './wrap.ts';

export { decodeHeader, ENVELOPE_FLAG, type EnvelopeHeader } from './header.ts';
export type { RecordName } from './record-name.ts';

const LABEL = 'enc-server-ts record v1';
/** The last 12 bytes of the envelope's nonce; the key depends on all 24. */
const AEAD_NONCE_AT = 12;
const ENCRYPTION_KEY_BYTES = 32;
const METADATA_LENGTH_BYTES = 2;
const DISTINCT_BYTES_MIN = 8;

const NO_METADATA = Buffer.alloc(METADATA_LENGTH_BYTES);

/** The most that sealing adds to a record's body, in bytes. */
export const SEAL_OVERHEAD_BYTES = METADATA_LENGTH_BYTES + METADATA_BYTES_MAX + TAG_BYTES;

export interface SealInput {
  readonly name: RecordName;
  /** The record key, 32 bytes. */
  readonly key: Buffer;
  readonly record: Buffer;
  /** `once`, `callersKey`, `legacy` of {@link ENVELOPE_FLAG}; `kept` follows from `wrapped`. */
  readonly flags?: number | undefined;
  /** Milliseconds since 1970 (UTC); 0, the default, is never. */
  readonly expiryMs?: number | undefined;
  /** From `encodeMetadata`. */
  readonly metadata?: Buffer | undefined;
  /** 24 bytes; for test vectors only, drawn at random otherwise. */
  readonly nonce?: Buffer | undefined;
  /** Keeps the record key in the header, wrapped under this secret. */
  readonly wrapped?: WrapSecret | undefined;
}

export interface Sealed {
  /** 68 bytes; 118 with a kept key. */
  readonly header: Buffer;
  /** Ciphertext ‖ tag. */
  readonly body: Buffer;
}

export interface Opened {
  readonly record: Buffer;
  /** For `decodeMetadata`; empty if there is none. */
  readonly metadata: Buffer;
}

/**
 * Seals one record.
 *
 * @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE`, `INVALID_KEY`
 * @throws EncServerError `INVALID_FIELD` if the expiry or the metadata is out of bounds
 */
export function seal(input: SealInput): Sealed {
  const { name, key, record, metadata, wrapped } = input;
  checkName(name);
  checkKeyLength(key);
  const nonce = checkedNonce(input.nonce ?? randomBytesPooled(NONCE_BYTES));
  // The start of the header, up to the commitment, and the name: all that key and body depend on.
  const context = Buffer.allocUnsafe(COMMITMENT_AT + nameBytes(name));
  writeHeaderStart(context, checkedFlags(input), checkedExpiry(input), nonce);
  encodeName(context, COMMITMENT_AT, name);

  const derived = deriveKey(key, LABEL, context);
  const body = sealAead(
    derived.subarray(0, ENCRYPTION_KEY_BYTES),
    nonce.subarray(AEAD_NONCE_AT),
    context,
    metadataPrefix(metadata),
    record,
  );
  const header = Buffer.allocUnsafe(wrapped === undefined ? HEADER_BYTES : HEADER_KEPT_BYTES);
  context.copy(header, 0, 0, COMMITMENT_AT);
  derived.copy(header, COMMITMENT_AT, ENCRYPTION_KEY_BYTES);
  derived.fill(0);
  if (wrapped !== undefined) {
    header.writeUInt16BE(wrapped.number, HEADER_BYTES);
    wrapUnder(wrapped, context, key).copy(header, WRAPPED_KEY_AT);
  }
  return { header, body };
}

/**
 * Checks, from the header alone, that the key is the one that sealed the record.
 *
 * @throws EncServerError `WRONG_KEY` if it is not, or if header and name do not belong together
 * @throws EncServerError `ALTERED` if the header is malformed
 * @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE`, `INVALID_KEY`
 */
export function proveKey(header: Buffer, name: RecordName, key: Buffer): void {
  deriveProven(decodeHeader(header), contextOf(header, name), key).fill(0);
}

/**
 * Opens one record. The results are slices of one fresh buffer.
 *
 * @throws EncServerError `WRONG_KEY` if the key did not seal this header under this name
 * @throws EncServerError `ALTERED` if the key is right, but header or body were changed
 * @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE`, `INVALID_KEY`
 */
export function open(header: Buffer, body: Buffer, name: RecordName, key: Buffer): Opened {
  const decoded = decodeHeader(header);
  const context = contextOf(header, name);
  const derived = deriveProven(decoded, context, key);
  let plaintext: Buffer;
  try {
    const encryptionKey = derived.subarray(0, ENCRYPTION_KEY_BYTES);
    plaintext = openAead(encryptionKey, decoded.nonce.subarray(AEAD_NONCE_AT), context, body);
  } finally {
    derived.fill(0);
  }
  if (plaintext.length < METADATA_LENGTH_BYTES) throw altered('the record is cut short');
  const recordAt = METADATA_LENGTH_BYTES + plaintext.readUInt16BE(0);
  if (recordAt > plaintext.length) throw altered('the metadata is cut short');
  return {
    metadata: plaintext.subarray(METADATA_LENGTH_BYTES, recordAt),
    record: plaintext.subarray(recordAt),
  };
}

/**
 * Refuses keys that were typed instead of drawn. Call it when a record is stored under a caller's
 * key, never when one is opened. Fewer than one in 10^36 random keys is refused.
 *
 * @throws EncServerError `INVALID_KEY` if it is not 32 bytes
 * @throws EncServerError `WEAK_KEY` if it has fewer than 8 distinct byte values
 */
export function checkKeyStrength(key: Buffer): void {
  checkKeyLength(key);
  if (new Set(key).size < DISTINCT_BYTES_MIN) {
    throw new EncServerError('WEAK_KEY', 'the key does not look drawn at random');
  }
}

/** The derived 64 bytes, after checking that the commitment in the header matches them. */
function deriveProven(header: EnvelopeHeader, context: Buffer, key: Buffer): Buffer {
  if (header.suite !== SUITE_AES_256_GCM) throw altered('the record is of another suite');
  const derived = deriveKey(key, LABEL, context);
  if (timingSafeEqual(derived.subarray(ENCRYPTION_KEY_BYTES), header.commitment)) return derived;
  derived.fill(0);
  throw wrongKey();
}

/** Flags come from our own code, never from a request: a wrong one is a defect. */
function checkedFlags(input: SealInput): number {
  const { flags = 0, wrapped } = input;
  const allowed = ENVELOPE_FLAG.once | ENVELOPE_FLAG.callersKey | ENVELOPE_FLAG.legacy;
  const free = wrapped === undefined ? flags : flags & ~ENVELOPE_FLAG.kept;
  if ((free & ~allowed) !== 0) throw new EncServerError('INTERNAL', 'impossible envelope flags');
  return wrapped === undefined ? flags : flags | ENVELOPE_FLAG.kept;
}

function checkedNonce(nonce: Buffer): Buffer {
  if (nonce.length === NONCE_BYTES) return nonce;
  throw new EncServerError('INTERNAL', 'impossible envelope nonce');
}

function checkedExpiry(input: SealInput): number {
  const { expiryMs = 0 } = input;
  if (Number.isSafeInteger(expiryMs) && expiryMs >= 0) return expiryMs;
  throw new EncServerError('INVALID_FIELD', 'the expiry is no time in milliseconds');
}

function metadataPrefix(metadata: Buffer | undefined): Buffer {
  if (metadata === undefined || metadata.length === 0) return NO_METADATA;
  checkMetadataLength(metadata);
  const prefix = Buffer.allocUnsafe(METADATA_LENGTH_BYTES + metadata.length);
  prefix.writeUInt16BE(metadata.length);
  metadata.copy(prefix, METADATA_LENGTH_BYTES);
  return prefix;
}
