import { EncServerError } from './errors.ts';

/** The system's error for a file, in words; an error of ours stays what it is. */
export function fileError(
  words: string,
  path: string,
  thrown: unknown,
  hint?: string,
): EncServerError {
  if (thrown instanceof EncServerError) return thrown;
  const reason = (thrown as NodeJS.ErrnoException).code ?? 'unknown reason';
  const facts = hint === undefined ? { cause: thrown } : { cause: thrown, hint };
  return new EncServerError('FILE_ERROR', `${words} ${path} (${reason})`, facts);
}
