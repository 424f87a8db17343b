/** What of a store a backup has, and how its errors are told apart. */
import { EncServerError } from '../errors.ts';

/** Table bytes of store keys: records, and tokens of the family's front ends. */
export const TABLES = [1, 2] as const;

export function codeOf(error: unknown): string | undefined {
  return error instanceof EncServerError ? error.code : undefined;
}
