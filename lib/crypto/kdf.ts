/** The one key derivation of the program. */

import { createHmac } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { keyInput } from '../key-input.ts';
import { KEY_BYTES } from '../protocol/limits.ts';

/** Length of the output in bits, u32: the `L` of SP 800-108. */
const OUTPUT_BITS = Buffer.of(0, 0, 2, 0);

/**
 * NIST SP 800-108r1 KDF in counter mode (section 4.1) over HMAC-SHA-512, 32-bit counter before
 * the fixed input, 32-bit length after it. 64 bytes are exactly one iteration.
 *
 * @param secret 32 bytes
 * @param label ASCII, without NUL
 * @returns 64 bytes
 * @throws EncServerError `INVALID_KEY` if the secret is not 32 bytes
 */
export function deriveKey(secret: Buffer, label: string, context: Buffer): Buffer {
  checkKeyLength(secret);
  return createHmac('sha512', keyInput(secret))
    .update(`\0\0\0\x01${label}\0`, 'latin1')
    .update(context)
    .update(OUTPUT_BITS)
    .digest();
}

/** @throws EncServerError `INVALID_KEY` if the key or secret is not 32 bytes */
export function checkKeyLength(key: Buffer): void {
  if (key.length !== KEY_BYTES) {
    throw new EncServerError('INVALID_KEY', `a key has ${KEY_BYTES} bytes, not ${key.length}`);
  }
}
