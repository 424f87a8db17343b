/**
 * A record under another key of its caller's: opened, sealed anew, and written back if it is
 * still the same. Only the caller has the keys, so nobody else can do it.
 */
import { decodeHeader, ENVELOPE_FLAG, proveKey, type RecordName } from '../crypto/envelope.ts';
import { codeOf } from '../errors.ts';
import type { RequestContext } from '../net/request.ts';
import { CHANGED_TRIES_MAX, callOf } from './calls.ts';
import { isLegacyHeader } from './legacy.ts';
import type { Placement } from './placement.ts';
import { checkIsThere, type Reader } from './reading.ts';
import type { StoreInput, StoreOutput } from './service.ts';

/** As `FeService.store`, but part of another operation. */
type Store = (input: StoreInput, context: RequestContext) => Promise<StoreOutput>;

export interface RekeyOutput {
  /** 8 bytes. */
  readonly revision: Buffer;
}

export class Rekeyer {
  readonly #placement: Placement;
  readonly #reader: Reader;
  readonly #store: Store;

  constructor(placement: Placement, reader: Reader, store: Store) {
    this.#placement = placement;
    this.#reader = reader;
    this.#store = store;
  }

  /**
   * Sent again, it succeeds: the record has the new key already. Rejects with `NOT_FOUND`,
   * `WRONG_KEY`, `ALREADY_READ`, or `CONFLICT` when others write it all the time.
   */
  async rekey(
    name: RecordName,
    oldKey: Buffer,
    newKey: Buffer,
    context: RequestContext,
  ): Promise<RekeyOutput> {
    for (let tries = 1; ; tries++) {
      const found = await this.#placement.head(name, callOf(context));
      checkIsThere(found);
      const { header, revision } = found;
      if (!isLegacyHeader(header) && isKeyOf(header, name, newKey)) return { revision };
      try {
        return await this.#rekeyFound(name, oldKey, newKey, header, context);
      } catch (error) {
        if (codeOf(error) !== 'CONFLICT' || tries >= CHANGED_TRIES_MAX) throw error;
      }
    }
  }

  /** What can be read once is not read by this: a claim is not taken. */
  async #rekeyFound(
    name: RecordName,
    oldKey: Buffer,
    newKey: Buffer,
    header: Buffer,
    context: RequestContext,
  ): Promise<RekeyOutput> {
    const look = { claims: false };
    const { record, contentType, revision } = await this.#reader.read(name, oldKey, look, context);
    const { flags, expiryMs } = decodeHeader(header);
    const once = (flags & ENVELOPE_FLAG.once) !== 0;
    const condition = { kind: 'revision', revision } as const;
    const input = { name, record, key: newKey, oldKey, condition, contentType, expiryMs, once };
    return await this.#store(input, context);
  }
}

function isKeyOf(header: Buffer, name: RecordName, key: Buffer): boolean {
  try {
    proveKey(header, name, key);
    return true;
  } catch (error) {
    if (codeOf(error) === 'WRONG_KEY') return false;
    throw error;
  }
}
