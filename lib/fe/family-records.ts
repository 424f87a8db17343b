/**
 * What the documents of the family's servers hold: whose record it is, and how it is stored here.
 * The Go servers seal IDs under one key and nonce, and each record under a key of its own. The
 * Python servers seal both under the record's key, with one nonce for everything: whoever has such
 * a store knows the XOR of an ID and its record, byte by byte, and can forge either.
 */
import { ENVELOPE_FLAG, type RecordName, seal } from '../crypto/envelope.ts';
import {
  type FamilyIdSecrets,
  legacyHeader,
  openGoId,
  openLegacy,
  sealPythonId,
} from '../crypto/legacy.ts';
import { checkName } from '../crypto/record-name.ts';
import { EncServerError } from '../errors.ts';
import { KEY_BYTES } from '../protocol/limits.ts';
import type { SealedRecord } from './placement.ts';

/** The content of one document. */
export interface FamilyEntry {
  /** Its `_id`, for people and for resuming. */
  readonly position: string;
  readonly id: unknown;
  readonly record: unknown;
}

/** A caller's ID and key, without which the Python servers' records cannot be moved. */
export interface CallersKey {
  readonly id: Buffer;
  /** 16, 24 or 32 bytes. */
  readonly key: Buffer;
}

/** A record on its way into our store. */
export interface FamilyRecord {
  readonly kind: 'go' | 'python';
  readonly name: RecordName;
  readonly sealed: SealedRecord;
  /** The caller's, if it is a Python server's record. */
  readonly key?: Buffer;
}

const NO_NAMESPACE = Buffer.alloc(0);
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export class FamilyRecords {
  readonly #secrets: FamilyIdSecrets;
  /** By the pseudonym that the Python servers gave the ID. */
  readonly #keys = new Map<string, CallersKey>();

  /** @throws EncServerError `INVALID_KEY` if a key does not have 16, 24 or 32 bytes */
  constructor(secrets: FamilyIdSecrets, keys: Iterable<CallersKey> = []) {
    this.#secrets = secrets;
    for (const known of keys) {
      const pseudonym = sealPythonId(known.id, known.key, secrets.nonce).toString('hex');
      this.#keys.set(pseudonym, known);
    }
  }

  /**
   * Takes a document apart. A record keeps its key; what the Python servers sealed under a key of
   * today's length is sealed anew at once, since the key is here.
   *
   * @throws EncServerError `WRONG_KEY` if neither secrets nor keys fit it, `ALTERED` if it is not a
   *   document of theirs, `INVALID_ID` for an ID that is too long here
   */
  read({ id, record }: FamilyEntry): FamilyRecord {
    const [pseudonym, body] = [bytesOf(id), bytesOf(record)];
    const goId = openGoId(pseudonym, this.#secrets);
    if (goId !== undefined) {
      if (body.length < NONCE_BYTES + TAG_BYTES) throw malformed();
      return { kind: 'go', name: nameOf(goId), sealed: asItIs(body) };
    }
    const known = this.#keys.get(pseudonym.toString('hex'));
    if (known === undefined) {
      throw new EncServerError('WRONG_KEY', 'neither the secrets nor a key fits the document');
    }
    const name = nameOf(known.id);
    const whole = Buffer.concat([this.#secrets.nonce, body]);
    const { key } = known;
    const opened = openLegacy(whole, key);
    if (key.length !== KEY_BYTES) return { kind: 'python', name, sealed: asItIs(whole), key };
    const flags = ENVELOPE_FLAG.callersKey | ENVELOPE_FLAG.legacy;
    const sealed = { ...seal({ name, key, record: opened, flags }), expiryMs: 0 };
    return { kind: 'python', name, sealed, key };
  }
}

function asItIs(body: Buffer): SealedRecord {
  return { header: legacyHeader(), body, expiryMs: 0 };
}

function nameOf(id: Buffer): RecordName {
  const name = { namespace: NO_NAMESPACE, id };
  checkName(name);
  return name;
}

function bytesOf(value: unknown): Buffer {
  if (typeof value !== 'string') throw malformed();
  const bytes = Buffer.from(value, 'hex');
  if (2 * bytes.length !== value.length) throw malformed();
  return bytes;
}

function malformed(): EncServerError {
  return new EncServerError('ALTERED', 'the document is none of the family');
}
