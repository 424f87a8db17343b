/** What of a store a backup has, and what writing and reading one have in common. */

/** Table bytes of store keys: records, and tokens of the family's front ends. */
export const TABLES = [1, 2] as const;

/** How far it is, for whoever watches. */
export type Told = (done: number, all: number) => void;
