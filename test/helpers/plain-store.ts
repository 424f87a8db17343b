/** A store that is as slow as its test says: what is asked for is done when the test lets it. */
import { randomBytes } from 'node:crypto';
import { EncServerError } from '../../lib/errors.ts';
import {
  ALWAYS,
  type Condition,
  type PutResult,
  type ScanPage,
  type Snapshot,
  type Store,
  type StoredHead,
  type StoredValue,
  type StoreStats,
  TABLE,
  type Value,
} from '../../lib/store/store.ts';

type Kept = StoredValue & { readonly body: Buffer };

export class PlainStore implements Store {
  readonly #values = new Map<string, Kept>();
  readonly #now: () => number;
  readonly #wait: () => Promise<void>;

  /** `wait` is awaited before and after everything that touches a record. */
  constructor(now: () => number, wait: () => Promise<void>) {
    this.#now = now;
    this.#wait = wait;
  }

  async #slowly<T>(key: Buffer, work: () => T): Promise<T> {
    const isRecord = key[0] === TABLE.RECORDS;
    if (isRecord) await this.#wait();
    const done = work();
    if (isRecord) await this.#wait();
    return done;
  }

  put(key: Buffer, value: Value, condition: Condition = ALWAYS): Promise<PutResult> {
    return this.#slowly(key, () => {
      const there = this.#check(key, condition);
      const { body, revision = randomBytes(8) } = value;
      const kept = { ...value, revision, bodyBytes: body.length };
      this.#values.set(key.toString('hex'), kept);
      return { revision, replaced: there !== undefined };
    });
  }

  get(key: Buffer): Promise<StoredValue | undefined> {
    return this.#slowly(key, () => this.#live(key));
  }

  /** It is never another. */
  async confirmId(): Promise<Buffer> {
    return Buffer.alloc(16);
  }

  getMany(keys: readonly Buffer[]): Promise<(StoredValue | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  head(key: Buffer): Promise<StoredHead | undefined> {
    return this.get(key);
  }

  delete(key: Buffer, condition: Condition = ALWAYS): Promise<boolean> {
    return this.#slowly(key, () => {
      const there = this.#check(key, condition);
      this.#values.delete(key.toString('hex'));
      return there !== undefined;
    });
  }

  scan(prefix: Buffer, after: Buffer | undefined, limit: number): Promise<ScanPage> {
    return this.#slowly(prefix, () => {
      const from = after?.toString('hex') ?? '';
      const keys = [...this.#values.keys()]
        .filter((key) => key.startsWith(prefix.toString('hex')) && key > from)
        .sort()
        .map((hex) => Buffer.from(hex, 'hex'));
      const items = keys.flatMap((key) => {
        const found = this.#live(key);
        return found === undefined ? [] : [{ ...found, key }];
      });
      return { items: items.slice(0, limit), more: items.length > limit };
    });
  }

  async stats(): Promise<StoreStats> {
    return { kind: 'memory', place: '', bytes: 0, records: this.#values.size };
  }

  snapshot(): Promise<Snapshot> {
    throw new Error('not needed');
  }

  health(): { readonly ok: boolean; readonly reason: string } {
    return { ok: true, reason: '' };
  }

  async close(): Promise<void> {}

  #live(key: Buffer): Kept | undefined {
    const kept = this.#values.get(key.toString('hex'));
    return kept !== undefined && (kept.expiryMs === 0 || kept.expiryMs > this.#now())
      ? kept
      : undefined;
  }

  #check(key: Buffer, condition: Condition): Kept | undefined {
    const there = this.#live(key);
    const holds =
      condition.kind === 'always' ||
      (condition.kind === 'absent'
        ? there === undefined
        : there?.revision.equals(condition.revision));
    if (!holds) throw new EncServerError('CONFLICT', 'not what is expected');
    return there;
  }
}
