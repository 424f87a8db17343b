/**
 * How records stand in an audit log: by a keyed hash. Who has the key can find what became of a
 * record that he can name; who has only the log can tell that two lines are of the same one.
 */
import { createHmac } from 'node:crypto';
import { keyInput } from '../key-input.ts';

/**
 * HMAC-SHA-256 as 64 hexadecimal digits.
 *
 * @param key 32 bytes; for nothing else
 * @param name What tells the record from others: never in a line itself
 */
export function pseudonymOf(key: Buffer, name: Buffer): string {
  return createHmac('sha256', keyInput(key)).update(name).digest('hex');
}
