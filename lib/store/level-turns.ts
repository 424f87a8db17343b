import { setImmediate as turn } from 'node:timers/promises';
import { TransientSet } from '../transient.ts';
import type { LevelDatabase, LevelSnapshot } from './level-database.ts';
import type { LookedUp } from './level-each.ts';
import { QuickReads } from './level-quick.ts';
import { readError, readValues } from './level-read.ts';
import type { Read } from './read.ts';

/**
 * Combines the reads of one turn of the event loop into one lookup, and knows which reads are under
 * way, so that the database is not closed while they run.
 */
export class ReadTurns {
  readonly #now: () => number;
  readonly #quick = new QuickReads();
  readonly #underWay = new TransientSet<Promise<unknown>>();
  #reads: Read[] = [];

  /** @param now - milliseconds since 1970 (UTC) */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes a read; it is done at the end of this turn, together with the others. */
  add(database: LevelDatabase, read: Read): void {
    this.#reads.push(read);
    if (this.#reads.length > 1) return;
    // A database that is replaced is closed only after this turn: see `idle`.
    void this.track(turn().then(() => this.#read(database)));
  }

  /** The values under keys, at once instead of at the end of the turn. */
  lookUp(database: LevelDatabase, keys: Buffer[]): Promise<readonly LookedUp[]> {
    return this.track(this.#quick.getEach(database, keys));
  }

  /** Reads in a snapshot. Settles every read, and never rejects. */
  readIn(database: LevelDatabase, snapshot: LevelSnapshot, reads: readonly Read[]): Promise<void> {
    return this.track(readValues(database, reads, snapshot, this.#now(), this.#quick));
  }

  /** Counts some other read as under way. */
  track<Result>(work: Promise<Result>): Promise<Result> {
    const tracked = work.finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
    return tracked;
  }

  /** Resolves when the reads under way are done. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  async #read(database: LevelDatabase): Promise<void> {
    const reads = this.#reads;
    this.#reads = [];
    try {
      const snapshot = database.snapshot();
      await readValues(database, reads, snapshot, this.#now(), this.#quick);
      await snapshot.close();
    } catch (thrown) {
      for (const read of reads) read.reject(readError(thrown));
    }
  }
}
