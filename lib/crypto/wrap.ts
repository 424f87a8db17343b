/**
 * Record keys that the server keeps, wrapped in the envelope header by AES-SIV under a secret that
 * serves nothing else. They are bound to the context, so that a wrapped key cannot be moved to
 * another record; but they are not part of it, so that rotating wrap secrets leaves the body alone.
 */

import { altered } from './altered.ts';
import { contextOf, decodeHeader, HEADER_BYTES, WRAPPED_KEY_AT } from './header.ts';
import { checkKeyLength, deriveKey } from './kdf.ts';
import type { RecordName } from './record-name.ts';
import { Siv } from './siv.ts';

const KEY_LABEL = 'enc-server-ts wrap-siv v1';
const DATA_LABEL = Buffer.from('enc-server-ts wrap v1', 'latin1');
const EMPTY = Buffer.alloc(0);

/** A wrap entry of the keyring. */
export interface WrapSecret {
  /** 1 to 65,535. */
  readonly number: number;
  /** 32 bytes. */
  readonly secret: Buffer;
}

/**
 * Wraps a record key for a header that is being written or rotated.
 *
 * @param header at least its first 36 bytes
 * @returns 48 bytes
 * @throws EncServerError `INVALID_KEY`, `INVALID_ID`, `INVALID_NAMESPACE`
 */
export function wrapKey(header: Buffer, name: RecordName, key: Buffer, wrap: WrapSecret): Buffer {
  return wrapUnder(wrap, contextOf(header, name), key);
}

/** As {@link wrapKey}, for callers that have the context already. */
export function wrapUnder(wrap: WrapSecret, context: Buffer, key: Buffer): Buffer {
  checkKeyLength(key);
  const siv = sivOf(wrap.secret);
  return siv.seal(key, siv.associate(associatedData(wrap.number, context)));
}

/**
 * The record key that a header keeps. `decodeHeader(header).wrapKeyNumber` says which entry of the
 * keyring wrapped it.
 *
 * @returns 32 bytes
 * @throws EncServerError `ALTERED` if no key is kept, the entry is the wrong one, or header and
 *   name are not those that the key was wrapped for
 * @throws EncServerError `INVALID_KEY`, `INVALID_ID`, `INVALID_NAMESPACE`
 */
export function unwrapKey(header: Buffer, name: RecordName, wrap: WrapSecret): Buffer {
  const { wrapKeyNumber, wrappedKey } = decodeHeader(header);
  if (wrappedKey === undefined) throw altered('the envelope keeps no key');
  if (wrapKeyNumber !== wrap.number) throw altered('the key was wrapped under another entry');
  const siv = sivOf(wrap.secret);
  const associated = associatedData(wrap.number, contextOf(header, name));
  return siv.open(wrappedKey, siv.associate(associated));
}

/**
 * A header whose key is wrapped under another entry; the rest of it, and so the body, stays.
 *
 * @throws EncServerError `ALTERED`, `INVALID_KEY`, `INVALID_ID`, `INVALID_NAMESPACE` as
 *   {@link unwrapKey} does
 */
export function rewrapHeader(
  header: Buffer,
  name: RecordName,
  from: WrapSecret,
  to: WrapSecret,
): Buffer {
  const key = unwrapKey(header, name, from);
  const rewrapped = Buffer.from(header);
  rewrapped.writeUInt16BE(to.number, HEADER_BYTES);
  wrapKey(header, name, key, to).copy(rewrapped, WRAPPED_KEY_AT);
  key.fill(0);
  return rewrapped;
}

/** Made once for each secret of the keyring: deriving one costs more than using it. */
const SIVS = new WeakMap<Buffer, Siv>();

function sivOf(secret: Buffer): Siv {
  const known = SIVS.get(secret);
  if (known !== undefined) return known;
  const sivKey = deriveKey(secret, KEY_LABEL, EMPTY);
  const siv = new Siv(sivKey);
  sivKey.fill(0);
  SIVS.set(secret, siv);
  return siv;
}

function associatedData(number: number, context: Buffer): Buffer {
  const numberBytes = Buffer.of(number >> 8, number & 0xff);
  return Buffer.concat([DATA_LABEL, numberBytes, context]);
}
