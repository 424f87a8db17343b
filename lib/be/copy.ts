/**
 * Copies one back end's store into another's, through the protocol: what is sealed stays as it is.
 * Nothing in the target is ever replaced, so that an interrupted copy can be started again.
 */
import { createHash } from 'node:crypto';
import { EncServerError, orUndefined } from '../errors.ts';
import { TABLE } from '../store/store.ts';
import { BeClient, type BeClientOptions, type KeyringFacts, type ScanItem } from './client.ts';

export interface Copied {
  readonly copied: number;
  /** Already there, and identical. */
  readonly known: number;
  /** Something else is stored there, and was left alone. */
  readonly conflicts: number;
}

export interface Verified {
  /** Items of the source that are in the target, byte for byte. */
  readonly same: number;
  /** Items of the source that are not. */
  readonly different: number;
  /** Items that the target has. */
  readonly targetItems: number;
  /** Those of them that the source does not have, without what has expired there meanwhile. */
  readonly added: number;
  /** SHA-256 over the source's items in its order, in hexadecimal digits. */
  readonly digest: string;
}

/** Reports progress. */
export type Told = (done: number, all: number) => void;

const PAGE_ITEMS = 500;
const AT_ONCE = 16;
/** Any body that fits into a frame. */
const BODY_BYTES_MAX = 0xffff_ffff;
const NO_BYTES = Buffer.alloc(0);
const ABSENT = { kind: 'absent' } as const;
/** What is copied of a store: records of our front ends, and the family's tokens. */
export const TABLES = [TABLE.RECORDS, TABLE.FOREIGN] as const;

export class StoreCopy {
  readonly #from: BeClient;
  readonly #to: BeClient;
  readonly #epoch: number | undefined;

  private constructor(from: BeClient, to: BeClient, epoch: number | undefined) {
    this.#from = from;
    this.#to = to;
    this.#epoch = epoch;
  }

  /**
   * Connects to both; the target adopts the keyring of the source. Rejects with `KEYRING_MISMATCH`
   * if it has another, `NOT_ALLOWED` also if the source may have records and has no keyring,
   * `UNAVAILABLE`.
   */
  static async open(from: BeClientOptions, to: BeClientOptions): Promise<StoreCopy> {
    const keyring = await keyringOf(from);
    const greeting = keyring === undefined ? {} : { keyring: async () => keyring };
    const [source, target] = [
      new BeClient({ ...from, ...greeting }),
      new BeClient({ ...to, ...greeting }),
    ];
    try {
      if (keyring === undefined) await checkNoRecords(source);
      await target.ping();
    } catch (error) {
      source.close();
      target.close();
      throw error;
    }
    return new StoreCopy(source, target, keyring?.epoch);
  }

  /** Rejects with `UNAVAILABLE` and whatever else ends it; then it can be started again. */
  async copy(told: Told): Promise<Copied> {
    const counts = { copied: 0, known: 0, conflicts: 0 };
    let done = 0;
    for await (const page of this.#pages(this.#from)) {
      await forEach(page, async (item) => {
        counts[await this.#copyOne(item)]++;
        told(++done, done);
      });
    }
    return counts;
  }

  /** Reads both stores. What expired in between is ignored. */
  async verify(told: Told): Promise<Verified> {
    const hash = createHash('sha256');
    let [same, different, targetItems] = [0, 0, 0];
    for await (const page of this.#pages(this.#from)) {
      const digests: (Buffer | undefined)[] = new Array(page.length);
      await forEach(page, async (item, index) => {
        const [here, there] = [
          await digestOf(this.#from, item.key),
          await digestOf(this.#to, item.key),
        ];
        if (here === undefined) return;
        digests[index] = here;
        if (there?.equals(here)) same++;
        else if (item.expiryMs === 0 || item.expiryMs > Date.now()) different++;
        told(same + different, same + different);
      });
      for (const digest of digests) if (digest !== undefined) hash.update(digest);
    }
    let added = 0;
    for await (const page of this.#pages(this.#to)) {
      targetItems += page.length;
      await forEach(page, async ({ key, expiryMs }) => {
        const there = await orUndefined(this.#from.head(key), 'NOT_FOUND');
        if (there === undefined && (expiryMs === 0 || expiryMs > Date.now())) added++;
      });
    }
    return { same, different, targetItems, added, digest: hash.digest('hex') };
  }

  close(): void {
    this.#from.close();
    this.#to.close();
  }

  async #copyOne(item: ScanItem): Promise<keyof Copied> {
    const { key } = item;
    const found = await orUndefined(this.#from.get(key, BODY_BYTES_MAX), 'NOT_FOUND');
    if (found === undefined) return 'known';
    const { head, body = NO_BYTES, revision, expiryMs } = found;
    const value = { head, body, revision, expiryMs };
    const put = await orUndefined(this.#to.put(key, value, ABSENT), 'CONFLICT');
    if (put !== undefined) return 'copied';
    const there = await orUndefined(this.#to.head(key), 'NOT_FOUND');
    return there?.revision.equals(revision) ? 'known' : 'conflicts';
  }

  async *#pages(be: BeClient): AsyncGenerator<readonly ScanItem[]> {
    for (const table of TABLES) {
      // Without a keyring the source has no records of ours, which was checked.
      if (table === TABLE.RECORDS && this.#epoch === undefined) continue;
      let after: Buffer | undefined;
      do {
        const page = await be.scan(Buffer.of(table), after, PAGE_ITEMS);
        if (page.items.length > 0) yield page.items;
        after = page.next;
      } while (after !== undefined);
    }
  }
}

/**
 * Records without a keyring must not be passed over as if there were none. A back end of an older
 * release shows not even that there are none.
 */
async function checkNoRecords(source: BeClient): Promise<void> {
  const page = source.scan(Buffer.of(TABLE.RECORDS), undefined, 1);
  if ((await orUndefined(page, 'NOT_ALLOWED')) !== undefined) return;
  const words = 'the source has no keyring, and may have records';
  throw new EncServerError('NOT_ALLOWED', words, {
    hint: 'if its release is older than this one, update it; else it has records that lost their keyring: restore a backup',
  });
}

async function keyringOf(options: BeClientOptions): Promise<KeyringFacts | undefined> {
  const client = new BeClient(options);
  try {
    return await client.askKeyring();
  } finally {
    client.close();
  }
}

/** The digest of everything stored under a key; undefined if there is nothing. */
async function digestOf(be: BeClient, key: Buffer): Promise<Buffer | undefined> {
  const found = await orUndefined(be.get(key, BODY_BYTES_MAX), 'NOT_FOUND');
  if (found === undefined) return undefined;
  const { head, body = NO_BYTES, revision, expiryMs } = found;
  const hash = createHash('sha256');
  const facts = Buffer.alloc(12);
  facts.writeUInt16BE(key.length, 0);
  facts.writeUInt16BE(head.length, 2);
  facts.writeBigUInt64BE(BigInt(expiryMs), 4);
  return hash.update(facts).update(key).update(head).update(revision).update(body).digest();
}

/** Processes several at once, in any order. */
async function forEach<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const left = items.entries();
  const worker = async () => {
    for (const [index, item] of left) await work(item, index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
