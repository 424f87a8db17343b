/** The bounds for each caller and each address. */

/** Limits how often something may happen, for each of many callers or addresses. */
export interface Bound {
  /** Takes one; false if there is none left. */
  take(who: string): boolean;
  /** Whether there is one left, without taking it. */
  has(who: string): boolean;
  /** Takes one for something that has happened already. */
  note(who: string): void;
  /** In how many milliseconds there is one left, if nothing more is taken. */
  dueMs(who: string): number;
}

/** The setting that each bound comes from, and the time window that the setting refers to. */
export const BOUNDS = {
  requests: { setting: 'requestsPerSecondMax', windowMs: 1_000 },
  wrongKeys: { setting: 'wrongKeysPerMinuteMax', windowMs: 60_000 },
  wrongTokens: { setting: 'wrongTokensPerMinuteMax', windowMs: 60_000 },
} as const;

export type BoundName = keyof typeof BOUNDS;

export const BOUND_NAMES = Object.keys(BOUNDS) as BoundName[];

/** The settings of a server that bound callers. */
export type BoundSettings = Readonly<Record<(typeof BOUNDS)[BoundName]['setting'], number>>;
