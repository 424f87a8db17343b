/** What is bounded for each caller and each address. */

/** How often something may happen, for each of many. */
export interface Bound {
  /** Takes one; false if there is none left. */
  take(who: string): boolean;
  /** Whether there is one left, without taking it. */
  has(who: string): boolean;
  /** Takes one for what has happened already. */
  note(who: string): void;
}

/** Which settings they come from, and of how long a time those speak. */
export const BOUNDS = {
  requests: { setting: 'requestsPerSecondMax', windowMs: 1_000 },
  wrongKeys: { setting: 'wrongKeysPerMinuteMax', windowMs: 60_000 },
  wrongTokens: { setting: 'wrongTokensPerMinuteMax', windowMs: 60_000 },
} as const;

export type BoundName = keyof typeof BOUNDS;

export const BOUND_NAMES = Object.keys(BOUNDS) as BoundName[];

/** Of the settings of a server, those that bound callers. */
export type BoundSettings = Readonly<Record<(typeof BOUNDS)[BoundName]['setting'], number>>;
