/** Checks and seals what a caller wants stored. `reading.ts` is the reverse. */
import { checkKeyStrength, ENVELOPE_FLAG, type RecordName, seal } from '../crypto/envelope.ts';
import { encodeMetadata } from '../crypto/metadata.ts';
import type { WrapSecret } from '../crypto/wrap.ts';
import { EncServerError } from '../errors.ts';
import { EXPIRY_MS_MAX } from '../protocol/expiry.ts';
import type { SealedRecord } from './placement.ts';
import type { WriteCondition } from './write-condition.ts';

export interface StoreInput {
  readonly name: RecordName;
  readonly record: Buffer;
  /** The caller's own key; if absent, one is drawn. */
  readonly key?: Buffer | undefined;
  /**
   * Keeps the key, wrapped under the keyring, so that anyone allowed to ask can read the record.
   */
  readonly kept?: boolean;
  /** `CONFLICT` if it does not hold; default: always. */
  readonly condition?: WriteCondition;
  /** The key of the record that this one replaces: `WRONG_KEY` if it is another. */
  readonly oldKey?: Buffer | undefined;
  /** Sealed with the record and given back with it. */
  readonly contentType?: string | undefined;
  /** Milliseconds since 1970; 0, the default, is never. */
  readonly expiryMs?: number | undefined;
  /** It can be read once. */
  readonly once?: boolean | undefined;
}

const PAST_HINT = 'times are milliseconds since 1970 (UTC); look at the clocks of both machines';

/**
 * Everything that is refused before anything is sealed.
 *
 * @param recordBytesMax the longest record that is accepted, in bytes
 * @param takesConditions whether the back end supports conditions, which records that can be read
 *   once need
 * @throws EncServerError `RECORD_TOO_LARGE`, `INVALID_FIELD`, `UNKNOWN_FIELD`, `INVALID_KEY`,
 *   `WEAK_KEY`
 */
export function checkInput(
  { record, expiryMs = 0, once, key }: StoreInput,
  recordBytesMax: number,
  takesConditions: boolean,
): void {
  if (record.length > recordBytesMax) {
    const words = `a record of ${record.length} bytes; at most ${recordBytesMax} are taken`;
    throw new EncServerError('RECORD_TOO_LARGE', words);
  }
  if (expiryMs !== 0 && expiryMs <= Date.now()) {
    throw new EncServerError('INVALID_FIELD', 'the expiry is in the past', { hint: PAST_HINT });
  }
  if (expiryMs > EXPIRY_MS_MAX) {
    const hint = 'a record without an expiry stays until it is deleted';
    throw new EncServerError('INVALID_FIELD', 'the expiry is too far away', { hint });
  }
  if (once && !takesConditions) {
    throw new EncServerError('UNKNOWN_FIELD', 'with this back end nothing can be read just once');
  }
  if (key !== undefined) checkKeyStrength(key);
}

/**
 * @param key the record key, 32 bytes: the caller's, or the one that was drawn
 * @param wrapped what the key is kept under; absent if it is not kept
 * @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE`, `INVALID_FIELD`
 */
export function sealInput(
  input: StoreInput,
  key: Buffer,
  wrapped: WrapSecret | undefined,
): SealedRecord {
  const { name, record, expiryMs = 0 } = input;
  const flags = flagsOf(input);
  const metadata = metadataOf(input.contentType);
  const { header, body } = seal({ name, key, record, flags, expiryMs, wrapped, metadata });
  return { header, body, expiryMs };
}

function flagsOf({ key, once }: StoreInput): number {
  return (key === undefined ? 0 : ENVELOPE_FLAG.callersKey) | (once ? ENVELOPE_FLAG.once : 0);
}

function metadataOf(contentType: string | undefined): Buffer | undefined {
  return contentType === undefined ? undefined : encodeMetadata({ contentType });
}
