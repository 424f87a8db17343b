/**
 * Hexadecimal digits for secrets: from Buffer to Buffer, because strings cannot be wiped, and
 * without tables, because the time of a table lookup can depend on the secret.
 */
import { EncServerError } from '../errors.ts';
import { OLD_KEY_BYTES } from './limits.ts';

/**
 * A record key from its 64 digits, upper or lower case; or from 32 or 48, for keys from the
 * family's servers, which open only what was moved from there.
 *
 * @throws EncServerError `INVALID_KEY`, which never shows the input.
 */
export function decodeHexKey(hex: Buffer): Buffer {
  if (!OLD_KEY_BYTES.includes(hex.length / 2)) {
    throw new EncServerError('INVALID_KEY', `the key has ${hex.length} characters, not 64`);
  }
  // Memory of its own, not a slice of the pool that other Buffers share.
  const key = Buffer.allocUnsafeSlow(hex.length / 2);
  let wrong = 0;
  for (let index = 0; index < key.length; index++) {
    const high = nibbleOf(hex[2 * index] as number);
    const low = nibbleOf(hex[2 * index + 1] as number);
    wrong |= high | low;
    key[index] = (high << 4) | low;
  }
  if (wrong > 0x0f) {
    key.fill(0);
    throw new EncServerError('INVALID_KEY', 'the key has characters that are no hex digits');
  }
  return key;
}

/** Lower-case digits, two for each byte, as ASCII. */
export function encodeHex(bytes: Buffer): Buffer {
  const hex = Buffer.allocUnsafeSlow(2 * bytes.length);
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] as number;
    hex[2 * index] = digitOf(byte >> 4);
    hex[2 * index + 1] = digitOf(byte & 0x0f);
  }
  return hex;
}

/** 0 to 15, or more than 15 if it is not a digit. Each mask is all ones within its range. */
function nibbleOf(char: number): number {
  const letter = char | 0x20;
  const isDigit = ((0x2f - char) & (char - 0x3a)) >> 31;
  const isLetter = ((0x60 - letter) & (letter - 0x67)) >> 31;
  return (isDigit & (char - 0x30)) | (isLetter & (letter - 0x57)) | (~(isDigit | isLetter) & 0x10);
}

/** `0` to `9`, then `a` to `f`, which begin 39 further on. */
function digitOf(nibble: number): number {
  return 0x30 + nibble + (((9 - nibble) >> 31) & 39);
}
