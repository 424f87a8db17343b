/**
 * How records are named in an audit log: by a keyed hash. Whoever has the key can find what became
 * of a record they can name; whoever has only the log can tell that two lines are about the same
 * one.
 */
import { createHmac } from 'node:crypto';
import { keyInput } from '../key-input.ts';

/**
 * HMAC-SHA-256 as 64 hexadecimal digits.
 *
 * @param key 32 bytes, used for nothing else
 * @param name What identifies the record: never in a line itself
 */
export function pseudonymOf(key: Buffer, name: Buffer): string {
  return createHmac('sha256', keyInput(key)).update(name).digest('hex');
}
