/**
 * Where records lie in the store: under which entry of the keyring a name is looked for and
 * written. Everything else of the front end knows names only.
 */
import type { BeCall, BeClient, StoredHead } from '../be/client.ts';
import type { RecordName } from '../crypto/envelope.ts';
import { type Claim, decodeHead, encodeHead } from '../crypto/head.ts';
import type { KeyringKeeper } from './keeper.ts';

/** Under what condition a record is written or deleted. A revision has 8 bytes. */
export type WriteCondition =
  | { readonly kind: 'always' | 'absent' }
  | { readonly kind: 'revision'; readonly revision: Buffer };

/** A sealed record as it is written. */
export interface SealedRecord {
  /** Envelope header: docs/ENVELOPE.md. */
  readonly header: Buffer;
  readonly body: Buffer;
  /** When the store forgets it, in milliseconds since 1970; 0 is never. */
  readonly expiryMs: number;
  /** Of a record that could be read once, and was. */
  readonly claim?: Claim;
}

/** What is told of a stored record without its body. */
export interface FoundHead {
  readonly header: Buffer;
  /** 8 bytes. */
  readonly revision: Buffer;
  /** Of the sealed body. */
  readonly bodyBytes: number;
  /** When the store forgets it, in milliseconds since 1970; 0 is never. */
  readonly expiryMs: number;
  readonly claim: Claim | undefined;
}

export interface FoundRecord extends FoundHead {
  readonly body: Buffer;
}

export interface Written {
  readonly revision: Buffer;
  /** Whether a record was there before. */
  readonly replaced: boolean;
}

/** Items of one page of a scan. */
const SCAN_ITEMS = 1_000;
const NO_BYTES = Buffer.alloc(0);

export class Placement {
  readonly #be: BeClient;
  readonly #keeper: KeyringKeeper;

  constructor(be: BeClient, keeper: KeyringKeeper) {
    this.#be = be;
    this.#keeper = keeper;
  }

  /** Rejects with `CONFLICT` where the condition does not hold. */
  async put(
    name: RecordName,
    sealed: SealedRecord,
    condition: WriteCondition,
    call: BeCall,
  ): Promise<Written> {
    const { storeKey, sealedId } = this.#keeper.pseudonymizer.seal(name);
    const head = encodeHead(sealedId, sealed.header, sealed.claim);
    const value = { head, body: sealed.body, expiryMs: sealed.expiryMs };
    return await this.#be.put(storeKey, value, condition, call);
  }

  /** Rejects with `NOT_FOUND`, or `LARGE` when the body is above `acceptBytes`. */
  async get(name: RecordName, acceptBytes: number, call: BeCall): Promise<FoundRecord> {
    const { storeKey } = this.#keeper.pseudonymizer.seal(name);
    const found = await this.#be.get(storeKey, acceptBytes, call);
    return { ...foundHead(found), body: found.body ?? NO_BYTES };
  }

  /** Rejects with `NOT_FOUND`. */
  async head(name: RecordName, call: BeCall): Promise<FoundHead> {
    const { storeKey } = this.#keeper.pseudonymizer.seal(name);
    return foundHead(await this.#be.head(storeKey, call));
  }

  /** Resolves to whether there was a record. Rejects with `CONFLICT`. */
  async remove(name: RecordName, condition: WriteCondition, call: BeCall): Promise<boolean> {
    const { storeKey } = this.#keeper.pseudonymizer.seal(name);
    return await this.#be.remove(storeKey, condition, call);
  }

  /** The IDs of a namespace, in no order that means anything. */
  async *listIds(namespace: Buffer): AsyncGenerator<Buffer> {
    const { pseudonymizer } = this.#keeper;
    const prefix = pseudonymizer.prefix(namespace);
    let after: Buffer | undefined;
    do {
      const page = await this.#be.scan(prefix, after, SCAN_ITEMS);
      for (const { key, head } of page.items) {
        yield pseudonymizer.open(key, decodeHead(head).sealedId).id;
      }
      after = page.next;
    } while (after !== undefined);
  }
}

function foundHead(stored: StoredHead): FoundHead {
  const { revision, bodyBytes, expiryMs } = stored;
  const { header, claim } = decodeHead(stored.head);
  return { header, claim, revision, bodyBytes, expiryMs };
}
