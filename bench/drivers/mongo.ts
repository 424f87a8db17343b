/**
 * What a person would write by hand on the `mongodb` driver: each record sealed by AES-256-GCM
 * under a fresh key, one operation per call, or as many as the target says.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { type Collection, MongoClient } from 'mongodb';
import { randomBytesPooled, randomKey } from '../../lib/crypto/random.ts';
import { keyInput } from '../../lib/key-input.ts';
import type { Connection, Driver, Item, Target } from './driver.ts';

const NONCE_BYTES = 12;

interface SealedDocument {
  readonly _id: Buffer;
  readonly nonce: Buffer;
  readonly sealed: Buffer;
  readonly tag: Buffer;
}

interface Queued<T> {
  readonly item: Item;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Gathers requests until there are `size`, then executes them at once. */
class Batch<T> {
  readonly #size: number;
  readonly #work: (items: readonly Item[]) => Promise<T[]>;
  #queue: Queued<T>[] = [];

  constructor(size: number, work: (items: readonly Item[]) => Promise<T[]>) {
    this.#size = size;
    this.#work = work;
  }

  add(item: Item): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      if (this.#queue.length < this.#size) return;
      const queue = this.#queue;
      this.#queue = [];
      this.#work(queue.map((queued) => queued.item)).then(
        (values) => {
          for (const [index, queued] of queue.entries()) queued.resolve(values[index] as T);
        },
        (error) => {
          for (const queued of queue) queued.reject(error);
        },
      );
    });
  }
}

class MongoConnection implements Connection {
  readonly #client: MongoClient;
  readonly #collection: Collection<SealedDocument>;
  readonly #stores: Batch<undefined>;
  readonly #retrieves: Batch<number>;
  #record: Buffer = Buffer.alloc(0);

  constructor(client: MongoClient, database: string, batch: number) {
    this.#client = client;
    this.#collection = client.db(database).collection(`batches-of-${batch}`);
    this.#stores = new Batch(batch, (items) => this.#storeAll(items));
    this.#retrieves = new Batch(batch, (items) => this.#retrieveAll(items));
  }

  async store(item: Item, record: Buffer): Promise<void> {
    this.#record = record;
    await this.#stores.add(item);
  }

  async retrieve(item: Item): Promise<number> {
    return await this.#retrieves.add(item);
  }

  async remove({ id }: Item): Promise<void> {
    await this.#collection.deleteOne({ _id: id });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #storeAll(items: readonly Item[]): Promise<undefined[]> {
    const documents = items.map((item) => seal(item, this.#record));
    const [only] = documents;
    if (documents.length === 1 && only !== undefined) {
      await this.#collection.replaceOne({ _id: only._id }, only, { upsert: true });
      return [undefined];
    }
    const operations = documents.map((replacement) => ({
      replaceOne: { filter: { _id: replacement._id }, replacement, upsert: true },
    }));
    await this.#collection.bulkWrite(operations, { ordered: false });
    return items.map(() => undefined);
  }

  async #retrieveAll(items: readonly Item[]): Promise<number[]> {
    const filter = { _id: { $in: items.map(({ id }) => id) } };
    const found = new Map<string, SealedDocument>();
    for (const document of await this.#collection.find(filter).toArray()) {
      found.set(document._id.toString('hex'), document);
    }
    return items.map(({ id, key }) => open(found.get(id.toString('hex')), key));
  }
}

function seal(item: Item, record: Buffer): SealedDocument {
  const [key, nonce] = [randomKey(), randomBytesPooled(NONCE_BYTES)];
  item.key = key;
  const cipher = createCipheriv('aes-256-gcm', keyInput(key), nonce);
  const sealed = Buffer.concat([cipher.update(record), cipher.final()]);
  return { _id: item.id, nonce, sealed, tag: cipher.getAuthTag() };
}

function open(document: SealedDocument | undefined, key: Buffer | undefined): number {
  if (document === undefined || key === undefined) return 0;
  const decipher = createDecipheriv('aes-256-gcm', keyInput(key), document.nonce);
  decipher.setAuthTag(document.tag);
  return Buffer.concat([decipher.update(document.sealed), decipher.final()]).length;
}

export class MongoDriver implements Driver {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async connect(): Promise<Connection> {
    const { uri = '', database = 'bench', batch = 1 } = this.#target;
    const writeConcern = { w: 'majority', journal: true } as const;
    const client = new MongoClient(uri, { maxPoolSize: 64, promoteBuffers: true, writeConcern });
    await client.connect();
    return new MongoConnection(client, database, batch);
  }
}
