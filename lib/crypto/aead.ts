/** Suite 1: AES-256-GCM (NIST SP 800-38D) with a 12-byte nonce and a 16-byte tag. */

import { type CipherGCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import { altered } from './altered.ts';

export const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';
const OPTIONS = { authTagLength: TAG_BYTES };
/** Up to here a copy costs less than another call of the cipher. */
const JOIN_BYTES_MAX = 16 * 1024;

/**
 * Encrypts `prefix ‖ text` ; a large text is not joined to the prefix first, so that 8 MiB are copied once.
 *
 * @param key 32 bytes
 * @param nonce 12 bytes, never used twice under one key
 * @returns ciphertext ‖ tag
 */
export function sealAead(
  key: Buffer,
  nonce: Buffer,
  associated: Buffer,
  prefix: Buffer,
  text: Buffer,
): Buffer {
  const cipher = createCipheriv(ALGORITHM, key, nonce, OPTIONS);
  cipher.setAAD(associated);
  if (text.length <= JOIN_BYTES_MAX) {
    const joined = cipher.update(Buffer.concat([prefix, text]));
    cipher.final();
    return Buffer.concat([joined, cipher.getAuthTag()]);
  }
  const first = cipher.update(prefix);
  const second = cipher.update(text);
  // GCM is a stream: `final` gives no bytes, and makes the tag.
  cipher.final();
  return Buffer.concat([first, second, cipher.getAuthTag()]);
}

/**
 * The reverse of {@link sealAead}: `prefix ‖ text` in one fresh buffer.
 *
 * @throws ALTERED if the tag does not fit, or there is none
 */
export function openAead(key: Buffer, nonce: Buffer, associated: Buffer, sealed: Buffer): Buffer {
  if (sealed.length < TAG_BYTES) throw altered('the body is shorter than its tag');
  const plaintext = openGcm(ALGORITHM, key, nonce, associated, sealed);
  if (plaintext === undefined) throw altered('the body does not fit its tag');
  return plaintext;
}

/** The text of ciphertext ‖ tag, of 16 bytes or more; undefined if the tag does not fit. */
export function openGcm(
  algorithm: CipherGCMTypes,
  key: Buffer,
  nonce: Buffer,
  associated: Buffer,
  sealed: Buffer,
): Buffer | undefined {
  const textBytes = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(algorithm, key, nonce, OPTIONS);
  decipher.setAAD(associated);
  decipher.setAuthTag(sealed.subarray(textBytes));
  const plaintext = decipher.update(sealed.subarray(0, textBytes));
  try {
    decipher.final();
  } catch {
    // What was decrypted is not authentic, and nobody may see it.
    plaintext.fill(0);
    return undefined;
  }
  return plaintext;
}
