/** What reading and writing have in common. */
import type { BeCall } from '../be/client.ts';
import { wrongKey } from '../crypto/altered.ts';
import { decodeHeader, proveKey, type RecordName } from '../crypto/envelope.ts';
import { codeOf, EncServerError } from '../errors.ts';
import type { RequestContext } from '../net/request.ts';

/** A record may be replaced while it is read; it is then read again, at most this often. */
export const CHANGED_TRIES_MAX = 5;

export function callOf(context: RequestContext, signal?: AbortSignal): BeCall {
  const { trace, span, remainingMs } = context;
  return { trace, span, timeoutMs: remainingMs, signal };
}

/** Whether a key sealed the record with this header. @throws as `proveKey`, but `WRONG_KEY` */
export function isKeyOf(header: Buffer, name: RecordName, key: Buffer): boolean {
  try {
    proveKey(header, name, key);
    return true;
  } catch (error) {
    if (codeOf(error) === 'WRONG_KEY') return false;
    throw error;
  }
}

/** Met before a key could be tried: whoever asks may not have the record's. */
export class KeyUntried extends EncServerError {}

/**
 * Slows down callers that try many wrong keys. A key as short as those of the family is one of
 * them: an answer of its own would tell that there is a record.
 */
export function noting<T>(context: RequestContext, prove: () => T): T {
  try {
    return prove();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'WRONG_KEY' || code === 'INVALID_KEY') context.noteWrongKey();
    throw code === 'INVALID_KEY' ? wrongKey() : error;
  }
}

/**
 * The store expires by its own clock; by ours the record may already have expired when we asked.
 * The time of the answer does not count: until then something else may have been stored.
 *
 * @param expiryMs from the header, in milliseconds since 1970; 0 is never
 */
export function hasEnded(expiryMs: number, askedAtMs: number): boolean {
  return expiryMs !== 0 && expiryMs <= askedAtMs;
}

/** As {@link hasEnded}, for an encoded header. */
export function isExpired(header: Buffer, askedAtMs: number): boolean {
  return hasEnded(decodeHeader(header).expiryMs, askedAtMs);
}

export function notFound(): EncServerError {
  return new EncServerError('NOT_FOUND', 'there is no such record');
}
