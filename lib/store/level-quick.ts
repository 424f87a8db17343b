/**
 * Looks values up without a thread as long as that is quick. A value in memory is found in 2 µs;
 * handing a lookup to a thread and being woken by it takes as long as 20 of them. When the disk
 * must be waited for, a thread waits, and the process goes on.
 */
import type { LevelDatabase, LevelReadOptions } from './level-database.ts';
import { getEach, type LookedUp } from './level-each.ts';

/** After this time the rest of a call is left to a thread, in milliseconds. */
const BLOCKED_MS_MAX = 1;
/**
 * A lookup that takes longer than this waited for the disk, and blocked the process once, for as
 * long as the disk took. In milliseconds.
 */
const WAITED_MS_MIN = 0.5;
/** The same is assumed if lookups take longer than this on average. */
const IN_MEMORY_MS_MAX = 0.05;
/** After a slow lookup, all are left to threads for this time, in milliseconds. */
const SLOW_MS = 100;

type Found = (Buffer | undefined)[];

export class QuickReads {
  readonly #now: () => number;
  #slowUntilMs = 0;

  /** @param now milliseconds, of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The value under each key, or why it could not be read, in the order of the keys. */
  getEach(
    database: LevelDatabase,
    keys: Buffer[],
    options: LevelReadOptions = {},
  ): Promise<readonly LookedUp[]> {
    return getEach(database, keys, options, (all) => this.#getMany(database, all, options));
  }

  async #getMany(
    database: LevelDatabase,
    keys: Buffer[],
    options: LevelReadOptions,
  ): Promise<Found> {
    const found = this.#getAtOnce(database, keys, options);
    if (found.length === keys.length) return found;
    const others = await database.getMany(keys.slice(found.length), options);
    return found.length === 0 ? others : found.concat(others);
  }

  /** The values of the first keys: as many as time allows. */
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
    // Counted from the end of the wait, which may have been longer than the pause.
    if (isSlow) this.#slowUntilMs = atMs + SLOW_MS;
    return found;
  }
}
