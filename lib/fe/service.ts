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
import { decodeMetadata, encodeMetadata, type Metadata } from '../crypto/metadata.ts';
import { randomKey } from '../crypto/random.ts';
import { EncServerError } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import { BULK_BYTES_MIN } from '../protocol/limits.ts';
import type { KeyringKeeper } from './keeper.ts';
import { type FoundRecord, Placement, type WriteCondition } from './placement.ts';

export type { WriteCondition } from './placement.ts';

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

export class FeService {
  readonly #options: FeServiceOptions;
  readonly #placement: Placement;

  constructor(options: FeServiceOptions) {
    this.#options = options;
    this.#placement = new Placement(options.be, options.keeper);
  }

  /**
   * Seals a record and stores it. Rejects with `INVALID_ID`, `INVALID_KEY`, `WEAK_KEY`,
   * `RECORD_TOO_LARGE`, `CONFLICT`, `UNAVAILABLE` or `UNKNOWN_OUTCOME`.
   */
  async store(input: StoreInput, context: RequestContext): Promise<StoreOutput> {
    context.caller.require('store', input.name.namespace);
    const { recordBytesMax, budget, keeper } = this.#options;
    if (input.record.length > recordBytesMax) {
      const words = `a record of ${input.record.length} bytes; at most ${recordBytesMax} are taken`;
      throw new EncServerError('RECORD_TOO_LARGE', words);
    }
    if (input.key !== undefined) checkKeyStrength(input.key);
    const key = input.key ?? randomKey();
    const { header, body } = seal({
      name: input.name,
      key,
      record: input.record,
      flags: input.key === undefined ? 0 : ENVELOPE_FLAG.callersKey,
      wrapped: input.kept ? keeper.wrapEntry() : undefined,
      metadata: metadataOf(input.contentType),
    });
    const drawn = input.key === undefined && !input.kept;
    // The sealed copy is held beside the record until the back end has it.
    budget.count(body.length);
    try {
      const call = callOf(context, undefined);
      const sealed = { header, body, expiryMs: 0 };
      const { condition = ALWAYS } = input;
      const done = await this.#placement.put(input.name, sealed, condition, call);
      return { drawnKey: drawn ? key : undefined, ...done };
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
    context.caller.require('retrieve', name.namespace);
    try {
      return await this.#open(name, key, BULK_BYTES_MIN, context);
    } catch (error) {
      if (!isLarge(error)) throw error;
      return await this.#retrieveLarge(name, key, error, context);
    }
  }

  /** What can be told of a record without its key. Rejects with `NOT_FOUND`. */
  async head(name: RecordName, context: RequestContext): Promise<HeadOutput> {
    context.caller.require('retrieve', name.namespace);
    const { revision, bodyBytes } = await this.#placement.head(name, callOf(context, undefined));
    return { revision, sealedBytes: bodyBytes };
  }

  /** The IDs of a namespace, in no order that means anything. */
  async *listIds(namespace: Buffer, { caller }: RequestContext): AsyncGenerator<Buffer> {
    caller.require('admin', namespace);
    yield* this.#placement.listIds(namespace);
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
    context.caller.require('delete', name.namespace);
    const call = callOf(context, undefined);
    if (key === undefined) return await this.#placement.remove(name, condition, call);
    for (let tries = 1; ; tries++) {
      try {
        const { header, revision } = await this.#placement.head(name, callOf(context, undefined));
        noting(context, () => proveKey(header, name, key));
        if (condition.kind === 'revision' && !condition.revision.equals(revision)) {
          throw new EncServerError('CONFLICT', 'the record has another revision');
        }
        const unchanged = { kind: 'revision', revision } as const;
        return await this.#placement.remove(name, unchanged, callOf(context, undefined));
      } catch (error) {
        if (codeOf(error) === 'NOT_FOUND') return false;
        const again = codeOf(error) === 'CONFLICT' && condition.kind === 'always';
        if (!again || tries >= CHANGED_TRIES_MAX) throw error;
      }
    }
  }

  /** Facts for people and tools. */
  info({ caller }: RequestContext): Record<string, unknown> {
    caller.require('admin');
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
        return await this.#open(name, key, sizeBytes, context);
      } catch (thrown) {
        if (!isLarge(thrown)) throw thrown;
        error = thrown;
      } finally {
        budget.release(roomBytes);
      }
    }
  }

  async #open(
    name: RecordName,
    key: OpeningKey,
    acceptBytes: number,
    context: RequestContext,
  ): Promise<RetrieveOutput> {
    // To take a request back is worth its cost where much is under way.
    const signal = acceptBytes > BULK_BYTES_MIN ? context.signal : undefined;
    const call = callOf(context, signal);
    const found: FoundRecord = await this.#placement.get(name, acceptBytes, call);
    const { header, body } = found;
    const opening = key === 'kept' ? this.#options.keeper.unwrap(header, name) : key;
    const { record, metadata } = noting(context, () => open(header, body, name, opening));
    const { contentType } = metadata.length === 0 ? NO_METADATA : decodeMetadata(metadata);
    return { record, contentType, revision: found.revision };
  }
}

const ALWAYS = { kind: 'always' } as const;
const NO_METADATA: Metadata = {};

function callOf(context: RequestContext, signal: AbortSignal | undefined): BeCall {
  return { trace: context.trace, timeoutMs: context.remainingMs, signal };
}

function metadataOf(contentType: string | undefined): Buffer | undefined {
  return contentType === undefined ? undefined : encodeMetadata({ contentType });
}

/** Who tries many wrong keys is slowed down. */
function noting<T>(context: RequestContext, prove: () => T): T {
  try {
    return prove();
  } catch (error) {
    if (codeOf(error) === 'WRONG_KEY') context.noteWrongKey();
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof EncServerError ? error.code : undefined;
}

function isLarge(error: unknown): error is EncServerError {
  return codeOf(error) === 'LARGE';
}
