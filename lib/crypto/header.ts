/** The envelope header, which the store keeps apart from the body: `docs/ENVELOPE.md`, "Header". */

import { altered, NEWER_HINT } from './altered.ts';
import { checkName, encodeName, nameBytes, type RecordName } from './record-name.ts';

const ENVELOPE_VERSION = 1;
export const SUITE_AES_256_GCM = 1;
/** A record as the family's servers sealed it: `legacy.ts`. */
export const SUITE_FAMILY = 240;

/** Bits of the flags byte; the others are refused. */
export const ENVELOPE_FLAG = {
  /** The record can be read once. */
  once: 1,
  /** The caller drew the key. */
  callersKey: 2,
  /** The server keeps the key, wrapped, in the header. */
  kept: 4,
  /** The record came out of a store of the family's older programs. */
  legacy: 8,
} as const;

const FLAGS_KNOWN = 0b1111;

export const NONCE_BYTES = 24;
export const COMMITMENT_BYTES = 32;
/** A 32-byte key under AES-SIV. */
export const WRAPPED_KEY_BYTES = 48;

// Offsets in the header, and its two lengths. Everything before the commitment is authenticated as
// context, byte for byte.
const FLAGS_AT = 2;
const RESERVED_AT = 3;
const EXPIRY_AT = 4;
const NONCE_AT = 12;
export const COMMITMENT_AT = NONCE_AT + NONCE_BYTES;
export const HEADER_BYTES = COMMITMENT_AT + COMMITMENT_BYTES;
export const WRAPPED_KEY_AT = HEADER_BYTES + 2;
export const HEADER_KEPT_BYTES = WRAPPED_KEY_AT + WRAPPED_KEY_BYTES;

export interface EnvelopeHeader {
  readonly version: number;
  readonly suite: number;
  /** Bits of {@link ENVELOPE_FLAG}. */
  readonly flags: number;
  /** Milliseconds since 1970 (UTC); 0 is never. */
  readonly expiryMs: number;
  /** 24 bytes. */
  readonly nonce: Buffer;
  /** 32 bytes. */
  readonly commitment: Buffer;
  /** Kept keys only: number of the wrap entry in the keyring. */
  readonly wrapKeyNumber: number | undefined;
  /** Kept keys only: 48 bytes. */
  readonly wrappedKey: Buffer | undefined;
}

/**
 * Reads a header; its buffers are slices of the given one. Nothing is authenticated yet.
 *
 * @throws EncServerError `ALTERED` on an unknown version, suite or flag, and on a wrong length
 */
export function decodeHeader(header: Buffer): EnvelopeHeader {
  if (header.length < HEADER_BYTES) throw altered('the envelope header is cut short');
  if (header[0] !== ENVELOPE_VERSION) throw altered('unknown envelope version', NEWER_HINT);
  const suite = header.readUInt8(1);
  if (suite !== SUITE_AES_256_GCM && suite !== SUITE_FAMILY) {
    throw altered('unknown cipher suite', NEWER_HINT);
  }
  const flags = header.readUInt8(FLAGS_AT);
  if ((flags & ~FLAGS_KNOWN) !== 0 || header[RESERVED_AT] !== 0) {
    throw altered('unknown envelope flag', NEWER_HINT);
  }
  if (suite === SUITE_FAMILY && flags !== ENVELOPE_FLAG.legacy) {
    throw altered('such a record has no flag but one');
  }
  const kept = (flags & ENVELOPE_FLAG.kept) !== 0;
  if (header.length !== (kept ? HEADER_KEPT_BYTES : HEADER_BYTES)) {
    throw altered('the envelope header has a wrong length');
  }
  return {
    version: ENVELOPE_VERSION,
    suite,
    flags,
    expiryMs: readExpiry(header),
    nonce: header.subarray(NONCE_AT, COMMITMENT_AT),
    commitment: header.subarray(COMMITMENT_AT, HEADER_BYTES),
    wrapKeyNumber: kept ? header.readUInt16BE(HEADER_BYTES) : undefined,
    wrappedKey: kept ? header.subarray(WRAPPED_KEY_AT) : undefined,
  };
}

/** A u64, of which a JavaScript number holds 53 bits: 285,000 years. */
function readExpiry(header: Buffer): number {
  const high = header.readUInt32BE(EXPIRY_AT);
  if (high > 0x1f_ffff) throw altered('the expiry is out of bounds');
  return high * 2 ** 32 + header.readUInt32BE(EXPIRY_AT + 4);
}

/**
 * Everything that a sealed record is bound to: the header up to the commitment, and the name. It
 * includes no pseudonym, number of a keyring entry or revision, so that those can change without
 * the record key.
 *
 * @param header at least its first 36 bytes
 * @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE`
 */
export function contextOf(header: Buffer, name: RecordName): Buffer {
  checkName(name);
  const context = Buffer.allocUnsafe(COMMITMENT_AT + nameBytes(name));
  header.copy(context, 0, 0, COMMITMENT_AT);
  encodeName(context, COMMITMENT_AT, name);
  return context;
}

/** Writes the first 36 bytes of a header. `nonce` has 24 bytes. */
export function writeHeaderStart(
  target: Buffer,
  flags: number,
  expiryMs: number,
  nonce: Buffer,
): void {
  target[0] = ENVELOPE_VERSION;
  target[1] = SUITE_AES_256_GCM;
  target[FLAGS_AT] = flags;
  target[RESERVED_AT] = 0;
  target.writeUInt32BE(Math.floor(expiryMs / 2 ** 32), EXPIRY_AT);
  target.writeUInt32BE(expiryMs % 2 ** 32, EXPIRY_AT + 4);
  nonce.copy(target, NONCE_AT);
}
