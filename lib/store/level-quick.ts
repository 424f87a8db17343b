/**
 * Looks values up without a thread while that is quick. What lies in memory is found in 2 µs; to
 * hand a lookup to a thread and to be woken by it takes as long as 20 of them. Where the disk has
 * to be waited for, a thread waits, and the process goes on.
 */
import type { LevelDatabase, LevelReadOptions } from './level-database.ts';

/** After so long the rest of a call is left to a thread, in milliseconds. */
const BLOCKED_MS_MAX = 1;
/**
 * A lookup that takes longer than this waited for the disk, in milliseconds: the process with it,
 * once, and as long as the disk took.
 */
const WAITED_MS_MIN = 0.5;
/** So do lookups that take longer than this on average. */
const IN_MEMORY_MS_MAX = 0.05;
/** After such ones all are left to threads for so long, in milliseconds. */
const SLOW_MS = 100;

type Found = (Buffer | undefined)[];

export class QuickReads {
  readonly #now: () => number;
  #slowUntilMs = 0;

  /** @param now milliseconds, of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** As `getMany` of the database, which it rejects like. */
  async getMany(
    database: LevelDatabase,
    keys: Buffer[],
    options: LevelReadOptions = {},
  ): Promise<Found> {
    const found = this.#getAtOnce(database, keys, options);
    if (found.length === keys.length) return found;
    const others = await database.getMany(keys.slice(found.length), options);
    return found.length === 0 ? others : found.concat(others);
  }

  /** The values of the first keys: as many as there is time for. */
  #getAtOnce(database: LevelDatabase, keys: readonly Buffer[], options: LevelReadOptions): Found {
    const found: Found = [];
    const sinceMs = this.#now();
    if (sinceMs < this.#slowUntilMs) return found;
    let [atMs, longestMs] = [sinceMs, 0];
    for (const key of keys) {
      found.push(database.getSync(key, options));
      const beforeMs = atMs;
      atMs = this.#now();
      longestMs = Math.max(longestMs, atMs - beforeMs);
      if (longestMs > WAITED_MS_MIN || atMs - sinceMs > BLOCKED_MS_MAX) break;
    }
    const isSlow = longestMs > WAITED_MS_MIN || atMs - sinceMs > IN_MEMORY_MS_MAX * found.length;
    // From the end of the wait on: it may have been longer than the pause.
    if (isSlow) this.#slowUntilMs = atMs + SLOW_MS;
    return found;
  }
}
