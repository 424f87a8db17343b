/**
 * Records as the family's Go and Python servers sealed them, moved as they were:
 * `docs/ENVELOPE.md`, "Records of the family". The body is nonce ‖ ciphertext ‖ tag of AES-GCM
 * (NIST SP 800-38D) under the caller's key itself, bound to no name and committing to no key; so
 * they are opened only while the keyring allows it, and sealed anew when they are.
 */
import { type CipherGCMTypes, createCipheriv } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { OLD_KEY_BYTES } from '../protocol/limits.ts';
import { openGcm, TAG_BYTES } from './aead.ts';
import { altered, wrongKey } from './altered.ts';
import { ENVELOPE_FLAG, HEADER_BYTES, SUITE_FAMILY, writeHeaderStart } from './header.ts';

const NONCE_BYTES = 12;
const NO_NONCE = Buffer.alloc(24);
const NO_BYTES = Buffer.alloc(0);

/** What the servers of the family sealed user IDs under. */
export interface FamilyIdSecrets {
  /** `idKeyStr`, its characters as they are: 16, 24 or 32 bytes. */
  readonly key: Buffer;
  /** `idNonceStr`: 12 bytes. */
  readonly nonce: Buffer;
}

/** 68 bytes: suite 240, flag legacy, and zeros. */
export function legacyHeader(): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  writeHeaderStart(header, ENVELOPE_FLAG.legacy, 0, NO_NONCE);
  header[1] = SUITE_FAMILY;
  return header;
}

/** Whether the record still lies as the family sealed it. */
export function isLegacyHeader(header: Buffer): boolean {
  return header[1] === SUITE_FAMILY;
}

/**
 * The record inside a body that the family sealed.
 *
 * @param key 16, 24 or 32 bytes
 * @throws WRONG_KEY if it is another key, or the body was changed: the two cannot be told apart
 * @throws ALTERED if the body is too short to be one
 * @throws INVALID_KEY if the key has another length
 */
export function openLegacy(body: Buffer, key: Buffer): Buffer {
  if (body.length < NONCE_BYTES + TAG_BYTES) throw altered('the body is cut short');
  const nonce = body.subarray(0, NONCE_BYTES);
  const opened = openGcm(algorithmOf(key), key, nonce, NO_BYTES, body.subarray(NONCE_BYTES));
  if (opened !== undefined) return opened;
  throw wrongKey();
}

/**
 * The user ID of a pseudonym of the Go servers, nonce ‖ ciphertext ‖ tag; undefined if it is not
 * one.
 */
export function openGoId(pseudonym: Buffer, { key, nonce }: FamilyIdSecrets): Buffer | undefined {
  const isWhole = pseudonym.length >= NONCE_BYTES + TAG_BYTES;
  if (!isWhole || !pseudonym.subarray(0, NONCE_BYTES).equals(nonce)) return undefined;
  return openGcm(algorithmOf(key), key, nonce, NO_BYTES, pseudonym.subarray(NONCE_BYTES));
}

/**
 * The pseudonym that the Python servers made of an ID, ciphertext ‖ tag: under the record's key,
 * and the one nonce that its record is sealed with, too.
 *
 * @param nonce `idNonceStr`: 12 bytes
 * @throws INVALID_KEY if the key does not have 16, 24 or 32 bytes
 */
export function sealPythonId(id: Buffer, key: Buffer, nonce: Buffer): Buffer {
  const cipher = createCipheriv(algorithmOf(key), key, nonce, { authTagLength: TAG_BYTES });
  const sealed = cipher.update(id);
  cipher.final();
  return Buffer.concat([sealed, cipher.getAuthTag()]);
}

function algorithmOf(key: Buffer): CipherGCMTypes {
  if (!OLD_KEY_BYTES.includes(key.length)) {
    throw new EncServerError('INVALID_KEY', `the key has ${key.length} bytes, not 16, 24 or 32`);
  }
  return `aes-${8 * key.length}-gcm` as CipherGCMTypes;
}
