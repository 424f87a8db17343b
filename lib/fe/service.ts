/**
 * What the front end does, in any dialect: it seals records under keys that only their callers
 * have, opens them again, and stores nothing.
 */
import type { BackEnd } from '../be/back-end.ts';
import {
  checkKeyStrength,
  decodeHeader,
  ENVELOPE_FLAG,
  proveKey,
  type RecordName,
} from '../crypto/envelope.ts';
import { randomKey } from '../crypto/random.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import { boundedExpiryMs } from '../protocol/expiry.ts';
import { callOf, hasEnded, isExpired, isKeyOf, notFound, noting } from './calls.ts';
import { despiteOthers } from './despite-others.ts';
import type { KeyringKeeper } from './keeper.ts';
import { isLegacyHeader } from './legacy.ts';
import { type IdPage, Listing } from './listing.ts';
import { alreadyRead } from './once.ts';
import { type FoundHead, Placement } from './placement.ts';
import { type OpeningKey, Reader, type ReadOptions, type ReadRecord } from './reading.ts';
import { checkInput, type StoreInput, sealInput } from './sealing.ts';
import { checkMayPeek, hiding, isUnproven, noteGuess } from './uniform-errors.ts';
import { ALWAYS, changed, ifUnchanged, type WriteCondition } from './write-condition.ts';
import { checkIsMeant, type WritePolicy, Writer } from './writing.ts';

export type { IdPage } from './listing.ts';
export type { OpeningKey, ReadRecord } from './reading.ts';
export type { StoreInput } from './sealing.ts';

export interface FeServiceOptions {
  readonly be: BackEnd;
  readonly keeper: KeyringKeeper;
  readonly budget: Budget;
  readonly recordBytesMax: number;
  readonly writePolicy: WritePolicy;
  /** Answers a wrong key as if there were no record. */
  readonly uniformErrors: boolean;
}

export interface StoreOutput {
  /** The key that opens the record; absent if the caller sent it, or it is kept. */
  readonly drawnKey: Buffer | undefined;
  readonly revision: Buffer;
  /** Whether a record was there before. */
  readonly replaced: boolean;
}

export interface HeadOutput {
  readonly revision: Buffer;
  /** Size of the sealed body: the record, its metadata and a tag. */
  readonly sealedBytes: number;
  /** Milliseconds since 1970; 0 is never. */
  readonly expiryMs: number;
  readonly once: boolean;
}

/** Each operation first checks that its caller is allowed; after that, all callers are equal. */
export class FeService {
  readonly #options: FeServiceOptions;
  readonly #placement: Placement;
  readonly #listing: Listing;
  readonly #reader: Reader;
  readonly #writer: Writer;

  constructor(options: FeServiceOptions) {
    this.#options = options;
    this.#placement = new Placement(options.be, options.keeper, options.budget);
    this.#listing = new Listing(options.be, options.keeper);
    this.#reader = new Reader({ ...options, placement: this.#placement });
    this.#writer = new Writer(
      this.#placement,
      this.#reader,
      options.writePolicy,
      options.be.takesConditions,
    );
  }

  /**
   * Seals a record and stores it. Rejects with `INVALID_ID`, `INVALID_KEY`, `WEAK_KEY`,
   * `INVALID_FIELD`, `RECORD_TOO_LARGE`, `CONFLICT`, `WRONG_KEY`, `KEY_REQUIRED`, `OVERLOADED`,
   * `UNAVAILABLE` or `UNKNOWN_OUTCOME`.
   */
  store(input: StoreInput, context: RequestContext): Promise<StoreOutput> {
    return this.#store(input, context);
  }

  /**
   * Refuses a caller that may not store under a name, before the record is read. Rejects with
   * `UNAUTHENTICATED`, `NOT_ALLOWED`.
   */
  async admitStore({ namespace }: RecordName, { caller }: RequestContext): Promise<void> {
    caller.require('store', namespace);
  }

  /** Around what `uniformErrors` may hide from the caller; an audit log notes what really came of it. */
  protected noted<T>(
    _operation: string,
    _name: RecordName,
    _context: RequestContext,
    work: () => Promise<T>,
  ): Promise<T> {
    return work();
  }

  /** Also for `rekey`, which is an operation of its own where `store` is overridden. */
  async #store(input: StoreInput, context: RequestContext): Promise<StoreOutput> {
    const { name, oldKey, condition = ALWAYS, kept = false } = input;
    context.caller.require('store', name.namespace);
    const { recordBytesMax, budget, keeper, be } = this.#options;
    checkInput(input, recordBytesMax, be.takesConditions);
    const key = input.key ?? randomKey();
    const sealed = sealInput(input, key, kept ? keeper.ring.wrapEntry : undefined);
    const drawn = input.key === undefined && !kept;
    // The sealed copy is held alongside the record until the back end has it.
    budget.count(sealed.body.length);
    try {
      const proof = { condition, oldKey, key: input.key, kept };
      const { revision, replaced } = await this.#writer.put(name, sealed, proof, context);
      return { drawnKey: drawn ? key : undefined, revision, replaced };
    } finally {
      budget.release(sealed.body.length);
    }
  }

  /** Rejects with `NOT_FOUND`, `WRONG_KEY`, `ALTERED`, `ALREADY_READ`, `LARGE`, `UNAVAILABLE`. */
  retrieve(
    name: RecordName,
    key: OpeningKey,
    context: RequestContext,
    options: ReadOptions = {},
  ): Promise<ReadRecord> {
    const read = async () => {
      context.caller.require('retrieve', name.namespace);
      return await this.#reader.read(name, key, options, context);
    };
    const isHiding = this.#options.uniformErrors && key !== 'kept';
    return hiding(isHiding, context, this.noted('retrieve', name, context, read));
  }

  /** What can be known of a record without its key. Rejects with `NOT_FOUND`, `ALREADY_READ`. */
  async head(name: RecordName, context: RequestContext): Promise<HeadOutput> {
    context.caller.require('retrieve', name.namespace);
    if (this.#options.uniformErrors) checkMayPeek(name, context);
    const found = await this.#placement.head(name, callOf(context));
    const { flags, expiryMs } = decodeHeader(found.header);
    if (hasEnded(expiryMs, found.askedAtMs)) throw notFound();
    if (found.claim !== undefined) throw alreadyRead(found.claim);
    const { revision, bodyBytes: sealedBytes } = found;
    const once = (flags & ENVELOPE_FLAG.once) !== 0;
    return { revision, sealedBytes, expiryMs, once };
  }

  /**
   * Seals a record again under another key of the caller's; everything else of it stays. Without a
   * condition it can safely be repeated. Rejects with `NOT_FOUND`, `WRONG_KEY`, `WEAK_KEY`,
   * `ALREADY_READ`, `CONFLICT` if the condition does not hold, or `OVERLOADED` if others keep
   * writing it.
   */
  rekey(
    name: RecordName,
    oldKey: Buffer,
    newKey: Buffer,
    context: RequestContext,
    condition: WriteCondition = ALWAYS,
  ): Promise<{ readonly revision: Buffer }> {
    const rekey = async () => {
      context.caller.require('retrieve', name.namespace);
      context.caller.require('store', name.namespace);
      checkKeyStrength(newKey);
      const once = () => this.#rekeyOnce(name, oldKey, newKey, condition, context);
      return await despiteOthers(condition, context, once);
    };
    const { uniformErrors } = this.#options;
    return hiding(uniformErrors, context, this.noted('rekey', name, context, rekey));
  }

  /**
   * One page of the IDs of a namespace, in no meaningful order. For operators. Rejects with
   * `NOT_ALLOWED`, `INVALID_FIELD`, `UNAVAILABLE`.
   *
   * @param after `next` of the page before
   * @param limit 1 to 10,000
   */
  async listPage(
    namespace: Buffer,
    after: Buffer | undefined,
    limit: number,
    context: RequestContext,
  ): Promise<IdPage> {
    context.caller.require('admin', namespace);
    return await this.#listing.listPage(namespace, after, limit, callOf(context));
  }

  /** The IDs of a namespace, in no meaningful order. For operators. */
  async *listIds(namespace: Buffer, context: RequestContext): AsyncGenerator<Buffer> {
    context.caller.require('admin', namespace);
    yield* this.#listing.listIds(namespace, context.remainingMs);
  }

  /**
   * Deletes a record; with a key, only if it is the right one. Resolves to whether there was a
   * record, where uniform errors do not hide it. Rejects with `WRONG_KEY`, `KEY_REQUIRED`,
   * `ALTERED`, `CONFLICT`, `OVERLOADED`, `UNAVAILABLE` or `UNKNOWN_OUTCOME`.
   */
  async delete(
    name: RecordName,
    key: Buffer | undefined,
    context: RequestContext,
    condition: WriteCondition = ALWAYS,
  ): Promise<boolean> {
    const { uniformErrors } = this.#options;
    const remove = async () => {
      context.caller.require('delete', name.namespace);
      const existed = await this.#writer.remove(name, key, condition, context);
      // Uniform errors say of no record what they say of a wrong key.
      if (!existed && condition.kind === 'revision' && !uniformErrors) throw changed();
      return existed;
    };
    try {
      const existed = await this.noted('delete', name, context, remove);
      if (uniformErrors && !existed && key !== undefined) context.noteWrongKey();
      return existed;
    } catch (error) {
      if (!uniformErrors || !isUnproven(error)) throw error;
      noteGuess(error, context);
      return false;
    }
  }

  /** Facts for people and tools. */
  async info({ caller }: RequestContext): Promise<Record<string, unknown>> {
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

  /** Facts about a record are told only to callers that have its old key, or its new one. */
  async #rekeyOnce(
    name: RecordName,
    oldKey: Buffer,
    newKey: Buffer,
    condition: WriteCondition,
    context: RequestContext,
  ): Promise<{ readonly revision: Buffer }> {
    const found = await this.#placement.head(name, callOf(context));
    const { header, revision, claim } = found;
    if (isExpired(header, found.askedAtMs)) throw notFound();
    const isLegacy = isLegacyHeader(header);
    const isDone = !isLegacy && isKeyOf(header, name, newKey);
    // A record that the family sealed proves its key by its body, when it is opened.
    if (!isDone && !isLegacy) noting(context, () => proveKey(header, name, oldKey));
    if (claim !== undefined) throw alreadyRead(claim);
    if (!isLegacy) checkIsMeant(found, condition);
    if (isDone) return { revision };
    return await this.#rekeyFound(name, [oldKey, newKey], found, condition, context);
  }

  /** Opens what is there and writes it back, if it is unchanged. Does not claim the record. */
  async #rekeyFound(
    name: RecordName,
    [oldKey, newKey]: readonly [Buffer, Buffer],
    found: FoundHead,
    meant: WriteCondition,
    context: RequestContext,
  ): Promise<{ readonly revision: Buffer }> {
    const { header, revision: looked } = found;
    const { flags, expiryMs: endMs } = decodeHeader(header);
    const expiryMs = boundedExpiryMs(endMs);
    // Flags and expiry come from the head, so it must be the same record.
    const options = { claims: false, expected: looked };
    const read = await this.#reader.read(name, oldKey, options, context);
    const { record, contentType, revision } = read;
    // Now the key of a record that the family sealed is proven, too.
    checkIsMeant(found, meant);
    const once = (flags & ENVELOPE_FLAG.once) !== 0;
    const condition = ifUnchanged(revision);
    const input = { name, record, key: newKey, oldKey, condition, contentType, expiryMs, once };
    return await this.#store(input, context);
  }
}
