import { EncServerError } from '../errors.ts';
import { checkKey, checkScan } from './keys.ts';
import type { LevelDatabase, LevelSnapshot } from './level-database.ts';
import { readPage } from './level-read.ts';
import type { ReadTurns } from './level-turns.ts';
import type { ScanPage, Snapshot, StoredValue } from './store.ts';

/**
 * A view of one moment. Until it is closed, LevelDB keeps what is deleted or replaced meanwhile. If
 * the database had to be opened again, the view is lost: `UNAVAILABLE`.
 */
export class LevelStoreSnapshot implements Snapshot {
  readonly #database: LevelDatabase;
  readonly #snapshot: LevelSnapshot;
  readonly #now: () => number;
  readonly #turns: ReadTurns;
  #isClosed = false;

  /**
   * @param now - milliseconds since 1970 (UTC); values still expire inside a view
   * @param turns - keeps the database open while a read is under way
   */
  constructor(database: LevelDatabase, now: () => number, turns: ReadTurns) {
    this.#database = database;
    this.#snapshot = database.snapshot();
    this.#now = now;
    this.#turns = turns;
  }

  get(key: Buffer, bodyBytesMax = Number.POSITIVE_INFINITY): Promise<StoredValue | undefined> {
    return new Promise((resolve, reject) => {
      checkKey(key);
      this.#checkOpen();
      const read = { key, bodyBytesMax, resolve, reject };
      void this.#turns.readIn(this.#database, this.#snapshot, [read]);
    });
  }

  async scan(prefix: Buffer, after: Buffer | undefined, limit: number): Promise<ScanPage> {
    checkScan(prefix, limit);
    this.#checkOpen();
    const request = { prefix, after, limit };
    return this.#turns.track(readPage(this.#database, request, this.#now(), this.#snapshot));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#snapshot.close();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new EncServerError('UNAVAILABLE', 'the snapshot is closed');
  }
}
