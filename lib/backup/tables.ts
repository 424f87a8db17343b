/** What of a store a backup has, and what writing and reading one have in common. */
import { EncServerError } from '../errors.ts';

/** Table bytes of store keys: records, and tokens of the family's front ends. */
export const TABLES = [1, 2] as const;

/** How far it is, for whoever watches. */
export type Told = (done: number, all: number) => void;

export function codeOf(error: unknown): string | undefined {
  return error instanceof EncServerError ? error.code : undefined;
}
