/**
 * Turns the name of a record into the key that the store knows it by, and back. Equal names give
 * equal store keys, which is what a lookup needs; without the secret they reveal only the entry's
 * number, which names share a namespace, and the ID's length bucket.
 */

import { createHmac } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { ID_BYTES_MAX } from '../protocol/limits.ts';
import { altered } from './altered.ts';
import { deriveKey } from './kdf.ts';
import {
  checkName,
  checkNamespace,
  encodeName,
  nameBytes,
  type RecordName,
} from './record-name.ts';
import { type AssociatedState, SIV_BYTES, Siv } from './siv.ts';

/** First byte of every store key of a record: its table in the store. */
const TABLE_RECORDS = 0x01;
const TAG_AT = 3;
const TAG_BYTES = 8;
const TAG_KEY_BYTES = 32;

/** Table, entry number and namespace tag: the prefix for scanning a namespace, in bytes. */
export const PREFIX_BYTES = TAG_AT + TAG_BYTES;
/** The length of every store key of a record, in bytes. */
export const STORE_KEY_BYTES = PREFIX_BYTES + SIV_BYTES;
/** Sizes that a name is padded to, in bytes. The longest name has 1,282. */
export const BUCKETS_BYTES: readonly number[] = [32, 64, 128, 256, 512, 1024, 2048];

/** Namespaces whose prefix is cached; a front end has few. */
const PREFIXES_MAX = 256;
const EMPTY = Buffer.alloc(0);

export interface Pseudonym {
  /** 27 bytes: prefix ‖ V. */
  readonly storeKey: Buffer;
  /** C, 32 to 2,048 bytes: kept in the head, so that the name can be read back. */
  readonly sealedId: Buffer;
}

/** What all names of one namespace share. */
interface Prefix {
  readonly prefix: Buffer;
  readonly state: AssociatedState;
}

/** Pseudonyms under one entry of the keyring. */
export class Pseudonymizer {
  /** 1 to 65,535. */
  readonly entryNumber: number;
  readonly #tagKey: Buffer;
  readonly #siv: Siv;
  readonly #prefixes = new Map<string, Prefix>();

  /**
   * @param secret 32 bytes; not kept
   * @param entryNumber 1 to 65,535
   * @throws EncServerError `INVALID_KEY` if the secret is not 32 bytes
   */
  constructor(secret: Buffer, entryNumber: number) {
    if (!Number.isInteger(entryNumber) || entryNumber < 1 || entryNumber > 0xffff) {
      throw new EncServerError('INTERNAL', 'a keyring entry has a number from 1 to 65535');
    }
    this.entryNumber = entryNumber;
    this.#siv = new Siv(deriveKey(secret, 'enc-server-ts id-siv v1', EMPTY));
    const derived = deriveKey(secret, 'enc-server-ts ns-tag v1', EMPTY);
    this.#tagKey = derived.subarray(0, TAG_KEY_BYTES);
  }

  /** @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE` */
  seal(name: RecordName): Pseudonym {
    const padded = encodePadded(name);
    const { prefix, state } = this.#prefixOf(name.namespace);
    const sealed = this.#siv.seal(padded, state);
    return { storeKey: join(prefix, sealed), sealedId: sealed.subarray(SIV_BYTES) };
  }

  /**
   * The store key of {@link seal} alone, for callers that only look a record up.
   *
   * @returns 27 bytes
   * @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE`
   */
  storeKey(name: RecordName): Buffer {
    const padded = encodePadded(name);
    const { prefix, state } = this.#prefixOf(name.namespace);
    return join(prefix, this.#siv.tag(padded, state));
  }

  /**
   * Reads a name back from what the store holds.
   *
   * @throws EncServerError `ALTERED` if this entry of the keyring did not seal it like this
   */
  open(storeKey: Buffer, sealedId: Buffer): RecordName {
    if (storeKey.length !== STORE_KEY_BYTES || !BUCKETS_BYTES.includes(sealedId.length)) {
      throw altered('the pseudonym has a wrong length');
    }
    const prefix = storeKey.subarray(0, PREFIX_BYTES);
    const sealed = Buffer.concat([storeKey.subarray(PREFIX_BYTES), sealedId]);
    const name = decodePadded(this.#siv.open(sealed, this.#siv.associate(prefix)));
    if (!prefix.equals(this.#prefixOf(name.namespace).prefix)) {
      throw altered('the pseudonym belongs to another namespace or entry');
    }
    return name;
  }

  /**
   * What the store keys of a namespace begin with, 11 bytes.
   *
   * @throws EncServerError `INVALID_NAMESPACE`
   */
  prefix(namespace: Buffer): Buffer {
    checkNamespace(namespace);
    return Buffer.from(this.#prefixOf(namespace).prefix);
  }

  /** What all store keys of this entry begin with, 3 bytes. */
  get entryPrefix(): Buffer {
    return Buffer.of(TABLE_RECORDS, this.entryNumber >> 8, this.entryNumber & 0xff);
  }

  #prefixOf(namespace: Buffer): Prefix {
    const known = namespace.toString('latin1');
    return this.#prefixes.get(known) ?? this.#derivePrefix(namespace, known);
  }

  #derivePrefix(namespace: Buffer, known: string): Prefix {
    const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
    prefix[0] = TABLE_RECORDS;
    prefix.writeUInt16BE(this.entryNumber, 1);
    createHmac('sha256', this.#tagKey)
      .update(namespace)
      .digest()
      .copy(prefix, TAG_AT, 0, TAG_BYTES);
    // Callers choose the namespaces, so the cache must be bounded.
    if (this.#prefixes.size === PREFIXES_MAX) this.#prefixes.clear();
    const derived = { prefix, state: this.#siv.associate(prefix) };
    this.#prefixes.set(known, derived);
    return derived;
  }
}

/** Prefix ‖ V, where `tag` begins with V. */
function join(prefix: Buffer, tag: Buffer): Buffer {
  const storeKey = Buffer.allocUnsafe(STORE_KEY_BYTES);
  prefix.copy(storeKey);
  tag.copy(storeKey, PREFIX_BYTES, 0, SIV_BYTES);
  return storeKey;
}

/** @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE` */
function encodePadded(name: RecordName): Buffer {
  checkName(name);
  const bytes = nameBytes(name);
  // From the pool, which `alloc` never uses.
  const padded = Buffer.allocUnsafe(bucketFor(bytes)).fill(0, bytes);
  encodeName(padded, 0, name);
  return padded;
}

/** The smallest bucket that holds that many bytes. */
function bucketFor(bytes: number): number {
  let bucket = 32;
  while (bucket < bytes) bucket *= 2;
  return bucket;
}

/**
 * Each name has exactly one padded form; any other is refused, so that no record has two store
 * keys.
 */
function decodePadded(padded: Buffer): RecordName {
  const namespaceBytes = padded.readUInt8(0);
  const idLengthAt = 1 + namespaceBytes;
  const idAt = idLengthAt + 2;
  if (idAt > padded.length) throw altered('the sealed ID is malformed');
  const end = idAt + padded.readUInt16BE(idLengthAt);
  const minimal = bucketFor(end) === padded.length;
  if (!minimal || padded.subarray(end).some((byte) => byte !== 0)) {
    throw altered('the sealed ID is not padded as it must be');
  }
  const name = { namespace: padded.subarray(1, idLengthAt), id: padded.subarray(idAt, end) };
  if (name.id.length === 0 || name.id.length > ID_BYTES_MAX) {
    throw altered('the sealed ID has a length that no ID has');
  }
  return name;
}
