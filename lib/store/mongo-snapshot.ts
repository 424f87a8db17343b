import { EncServerError } from '../errors.ts';
import type { ScanPage, Snapshot, Store, StoredValue } from './store.ts';

/**
 * Not a view of one moment: MongoDB keeps an old state for only five minutes by default, and only
 * in replica sets, while a backup takes as long as it takes. Each value is consistent in itself,
 * and is shown as it is when it is asked for. Anyone who needs one moment should snapshot MongoDB's
 * disk.
 */
export class MongoStoreSnapshot implements Snapshot {
  readonly #store: Pick<Store, 'get' | 'scan'>;
  #isClosed = false;

  constructor(store: Pick<Store, 'get' | 'scan'>) {
    this.#store = store;
  }

  async get(key: Buffer, bodyBytesMax?: number): Promise<StoredValue | undefined> {
    this.#checkOpen();
    return this.#store.get(key, bodyBytesMax);
  }

  async scan(prefix: Buffer, after: Buffer | undefined, limit: number): Promise<ScanPage> {
    this.#checkOpen();
    return this.#store.scan(prefix, after, limit);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new EncServerError('UNAVAILABLE', 'the snapshot is closed');
  }
}
