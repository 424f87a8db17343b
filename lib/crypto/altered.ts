/** The errors of opening: stored bytes that this program cannot have sealed, and a wrong key. */

import { EncServerError } from '../errors.ts';

/** Hint for a form that this release does not know, which need not be damage. */
export const NEWER_HINT = 'a newer release may have written it; update this one';

/** `ALTERED`, to be thrown. The message must hold no key, record or user ID. */
export function altered(message: string, hint?: string): EncServerError {
  return new EncServerError('ALTERED', message, { hint });
}

/** `WRONG_KEY`, to be thrown; always in the same words, so that nothing more can be read from it. */
export function wrongKey(): EncServerError {
  return new EncServerError('WRONG_KEY', 'the key does not open this record');
}
