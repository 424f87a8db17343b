/** What `uniformErrors` hides: whether there is a record, from whoever does not have its key. */
import { hasScope, isKnown } from '../access.ts';
import type { RecordName } from '../crypto/record-name.ts';
import { codeOf, EncServerError } from '../errors.ts';
import type { RequestContext } from '../net/request.ts';
import { KeyUntried, notFound } from './calls.ts';
import { isReserved } from './reserved.ts';

/** Without a key, the answer would tell which IDs exist. Throws `NOT_ALLOWED`. */
export function checkMayPeek({ namespace }: RecordName, { caller }: RequestContext): void {
  if (isReserved(namespace)) return;
  if (isKnown(caller) && hasScope(caller, 'admin', namespace)) return;
  const hint = 'the setting uniformErrors keeps it from telling which IDs exist';
  throw new EncServerError('NOT_ALLOWED', 'records are not looked at without a key', { hint });
}

/** What `done` comes to; if `isHiding`, its errors do not tell a wrong key from no record. */
export function hiding<T>(
  isHiding: boolean,
  context: RequestContext,
  done: Promise<T>,
): Promise<T> {
  if (!isHiding) return done;
  return done.catch((error: unknown) => {
    if (!isUnproven(error) && codeOf(error) !== 'NOT_FOUND') throw error;
    noteGuess(error, context);
    throw notFound();
  });
}

/** Whether an error is for callers who have not proven that they have the record's key. */
export function isUnproven(error: unknown): boolean {
  return codeOf(error) === 'WRONG_KEY' || error instanceof KeyUntried;
}

/** A guess at what cannot be opened counts as well: the limit must not tell it from a wrong key. */
export function noteGuess(error: unknown, context: RequestContext): void {
  // That was noted as it was tried.
  if (codeOf(error) !== 'WRONG_KEY') context.noteWrongKey();
}
