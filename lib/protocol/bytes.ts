/** What the client libraries take for bytes. */
import { EncServerError, type ErrorCode } from '../errors.ts';

/**
 * The bytes themselves, not a copy; a string as UTF-8.
 *
 * @throws EncServerError `code` if it is neither, or a string that UTF-8 has no form for: other
 *   such strings would become the same bytes
 */
export function bufferOf(bytes: string | Uint8Array, code: ErrorCode = 'INVALID_RECORD'): Buffer {
  if (typeof bytes === 'string' && isWellFormed(bytes)) return Buffer.from(bytes, 'utf8');
  if (Buffer.isBuffer(bytes)) return bytes;
  if (bytes instanceof Uint8Array) {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  const [words, hint] =
    typeof bytes === 'string'
      ? ['a string has half a surrogate pair, which has no form in UTF-8', 'pass its bytes']
      : ['IDs, keys and records are bytes or strings', 'pass a Uint8Array'];
  throw new EncServerError(code, words, { hint });
}

/** Whether the text has a form in UTF-8: half a surrogate pair has none. */
export function isWellFormed(text: string): boolean {
  return (text as WellFormed).isWellFormed();
}

/** Of ES2024; Node has it from 20 on. */
type WellFormed = string & { isWellFormed(): boolean };
