/**
 * What the front end does, whatever the dialect: it seals records under keys that only their
 * callers have, opens them again, and stores nothing.
 */
import type { BeCall, BeClient } from '../be/client.ts';
import {
  checkKeyStrength,
  ENVELOPE_FLAG,
  open,
  proveKey,
  type RecordName,
  SEAL_OVERHEAD_BYTES,
  seal,
} from '../crypto/envelope.ts';
import { decodeHead, encodeHead } from '../crypto/head.ts';
import { decodeMetadata, encodeMetadata, type Metadata } from '../crypto/metadata.ts';
import { randomKey } from '../crypto/random.ts';
import { EncServerError } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import { BULK_BYTES_MIN } from '../protocol/limits.ts';
import type { KeyringKeeper } from './keeper.ts';

export interface FeServiceOptions {
  readonly be: BeClient;
  readonly keeper: KeyringKeeper;
  readonly budget: Budget;
  readonly recordBytesMax: number;
}

export interface StoreInput {
  readonly name: RecordName;
  readonly record: Buffer;
  /** The caller's own key; one is drawn where it is absent. */
  readonly key?: Buffer | undefined;
  /** Keeps the key, wrapped under the keyring, so that whoever may ask can read the record. */
  readonly kept?: boolean;
  /** `CONFLICT` where it does not hold; default: always. */
  readonly condition?: WriteCondition;
  /** Sealed with the record and given back with it. */
  readonly contentType?: string | undefined;
}

/** Under what condition a record is written or deleted. A revision has 8 bytes. */
export type WriteCondition =
  | { readonly kind: 'always' | 'absent' }
  | { readonly kind: 'revision'; readonly revision: Buffer };

export interface StoreOutput {
  /** The key that opens the record; absent when the caller sent it, or it is kept. */
  readonly drawnKey: Buffer | undefined;
  readonly revision: Buffer;
  /** Whether a record was there before. */
  readonly replaced: boolean;
}

export interface RetrieveOutput {
  readonly record: Buffer;
  readonly contentType: string | undefined;
  readonly revision: Buffer;
}

export interface HeadOutput {
  readonly revision: Buffer;
  /** Of the sealed body: the record, its metadata and a tag. */
  readonly sealedBytes: number;
}

/** The caller's record key, or the one that the server keeps. */
export type OpeningKey = Buffer | 'kept';

/** A record may be replaced while it is looked at; then it is looked at anew, this often. */
const CHANGED_TRIES_MAX = 5;
/** Items of one page of a scan. */
const SCAN_ITEMS = 1_000;

export class FeService {
  readonly #options: FeServiceOptions;

  constructor(options: FeServiceOptions) {
    this.#options = options;
  }

  /**
   * Seals a record and stores it. Rejects with `INVALID_ID`, `INVALID_KEY`, `WEAK_KEY`,
   * `RECORD_TOO_LARGE`, `CONFLICT`, `UNAVAILABLE` or `UNKNOWN_OUTCOME`.
   */
  async store(input: StoreInput, context: RequestContext): Promise<StoreOutput> {
    const { recordBytesMax, be, budget, keeper } = this.#options;
    if (input.record.length > recordBytesMax) {
      const words = `a record of ${input.record.length} bytes; at most ${recordBytesMax} are taken`;
      throw new EncServerError('RECORD_TOO_LARGE', words);
    }
    if (input.key !== undefined) checkKeyStrength(input.key);
    const key = input.key ?? randomKey();
    const { storeKey, sealedId } = keeper.pseudonymizer.seal(input.name);
    const { header, body } = seal({
      name: input.name,
      key,
      record: input.record,
      flags: input.key === undefined ? 0 : ENVELOPE_FLAG.callersKey,
      wrapped: input.kept ? keeper.wrapEntry() : undefined,
      metadata: metadataOf(input.contentType),
    });
    const value = { head: encodeHead(sealedId, header), body, expiryMs: 0 };
    const drawn = input.key === undefined && !input.kept;
    // The sealed copy is held beside the record until the back end has it.
    budget.count(body.length);
    try {
      const call = callOf(context, undefined);
      const { revision, replaced } = await be.put(storeKey, value, input.condition, call);
      return { drawnKey: drawn ? key : undefined, revision, replaced };
    } finally {
      budget.release(body.length);
    }
  }

  /** Rejects with `NOT_FOUND`, `WRONG_KEY`, `ALTERED` or `UNAVAILABLE`. */
  async retrieve(
    name: RecordName,
    key: OpeningKey,
    context: RequestContext,
  ): Promise<RetrieveOutput> {
    const { storeKey } = this.#options.keeper.pseudonymizer.seal(name);
    try {
      return await this.#open(storeKey, name, key, BULK_BYTES_MIN, context);
    } catch (error) {
      if (!isLarge(error)) throw error;
      return await this.#retrieveLarge(storeKey, name, key, error, context);
    }
  }

  /** What can be told of a record without its key. Rejects with `NOT_FOUND`. */
  async head(name: RecordName, context: RequestContext): Promise<HeadOutput> {
    const { be, keeper } = this.#options;
    const { storeKey } = keeper.pseudonymizer.seal(name);
    const { revision, bodyBytes } = await be.head(storeKey, callOf(context, undefined));
    return { revision, sealedBytes: bodyBytes };
  }

  /** The IDs of a namespace, in no order that means anything. */
  async *listIds(namespace: Buffer): AsyncGenerator<Buffer> {
    const { be, keeper } = this.#options;
    const prefix = keeper.pseudonymizer.prefix(namespace);
    let after: Buffer | undefined;
    do {
      const page = await be.scan(prefix, after, SCAN_ITEMS);
      for (const { key, head } of page.items) {
        yield keeper.pseudonymizer.open(key, decodeHead(head).sealedId).id;
      }
      after = page.next;
    } while (after !== undefined);
  }

  /**
   * Deletes a record; with a key, only if it is the right one. Resolves to whether there was a
   * record. Rejects with `WRONG_KEY`, `ALTERED`, `UNAVAILABLE` or `UNKNOWN_OUTCOME`.
   */
  async delete(
    name: RecordName,
    key: Buffer | undefined,
    context: RequestContext,
    condition: WriteCondition = ALWAYS,
  ): Promise<boolean> {
    const { be, keeper } = this.#options;
    const { storeKey } = keeper.pseudonymizer.seal(name);
    if (key === undefined) return await be.remove(storeKey, condition, callOf(context, undefined));
    for (let tries = 1; ; tries++) {
      try {
        const { head, revision } = await be.head(storeKey, callOf(context, undefined));
        proveKey(decodeHead(head).header, name, key);
        if (condition.kind === 'revision' && !condition.revision.equals(revision)) {
          throw new EncServerError('CONFLICT', 'the record has another revision');
        }
        return await be.remove(
          storeKey,
          { kind: 'revision', revision },
          callOf(context, undefined),
        );
      } catch (error) {
        if (codeOf(error) === 'NOT_FOUND') return false;
        const again = codeOf(error) === 'CONFLICT' && condition.kind === 'always';
        if (!again || tries >= CHANGED_TRIES_MAX) throw error;
      }
    }
  }

  /** Facts for people and tools. */
  info(): Record<string, unknown> {
    const { be, keeper } = this.#options;
    const { keyring } = keeper;
    const ok = be.connected && keyring !== undefined;
    return {
      server: 'fe',
      ok,
      ...(ok ? {} : { reason: be.lastError?.message ?? 'the back end is not connected yet' }),
      backEnd: be.connected ? 'connected' : 'unreachable',
      keyring: keyring?.keyringId.toString('hex'),
      epoch: keyring?.epoch,
    };
  }

  /** A large body is asked for only once there is room for it, sealed and opened. */
  async #retrieveLarge(
    storeKey: Buffer,
    name: RecordName,
    key: OpeningKey,
    large: EncServerError,
    context: RequestContext,
  ): Promise<RetrieveOutput> {
    const { budget, recordBytesMax } = this.#options;
    for (let tries = 1, error = large; ; tries++) {
      const sizeBytes = error.sizeBytes ?? 0;
      if (tries > CHANGED_TRIES_MAX) throw error;
      if (sizeBytes > recordBytesMax + SEAL_OVERHEAD_BYTES) {
        throw new EncServerError('RECORD_TOO_LARGE', `a sealed record of ${sizeBytes} bytes`);
      }
      const roomBytes = 2 * sizeBytes;
      await budget.reserved(roomBytes, context);
      try {
        return await this.#open(storeKey, name, key, sizeBytes, context);
      } catch (thrown) {
        if (!isLarge(thrown)) throw thrown;
        error = thrown;
      } finally {
        budget.release(roomBytes);
      }
    }
  }

  async #open(
    storeKey: Buffer,
    name: RecordName,
    key: OpeningKey,
    acceptBytes: number,
    context: RequestContext,
  ): Promise<RetrieveOutput> {
    // To take a request back is worth its cost where much is under way.
    const signal = acceptBytes > BULK_BYTES_MIN ? context.signal : undefined;
    const found = await this.#options.be.get(storeKey, acceptBytes, callOf(context, signal));
    const { header } = decodeHead(found.head);
    const opening = key === 'kept' ? this.#options.keeper.unwrap(header, name) : key;
    const { record, metadata } = open(header, found.body ?? NO_BYTES, name, opening);
    const { contentType } = metadata.length === 0 ? NO_METADATA : decodeMetadata(metadata);
    return { record, contentType, revision: found.revision };
  }
}

const ALWAYS = { kind: 'always' } as const;
const NO_BYTES = Buffer.alloc(0);
const NO_METADATA: Metadata = {};

function callOf(context: RequestContext, signal: AbortSignal | undefined): BeCall {
  return { trace: context.trace, timeoutMs: context.remainingMs, signal };
}

function metadataOf(contentType: string | undefined): Buffer | undefined {
  return contentType === undefined ? undefined : encodeMetadata({ contentType });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof EncServerError ? error.code : undefined;
}

function isLarge(error: unknown): error is EncServerError {
  return codeOf(error) === 'LARGE';
}
