/** The requests and answers of the client library, and how they are encoded in frames. */
import { EncServerError } from '../errors.ts';
import type { CallOptions } from '../net/client.ts';
import { bufferOf } from '../protocol/bytes.ts';
import { EXPIRY_MS_MAX } from '../protocol/expiry.ts';
import {
  bytesField,
  emptyField,
  type FieldEntry,
  type Fields,
  u32Field,
  u64Field,
} from '../protocol/fields.ts';
import { LIST_IDS_MAX } from '../protocol/limits.ts';
import { FIELD } from '../protocol/messages.ts';

/** Options of every call about a record. */
export interface RecordCall extends CallOptions {
  /** The namespace of the ID; at most 255 bytes, a string is taken as UTF-8; default: none. */
  readonly namespace?: string | Uint8Array;
}

/** How a record is stored. */
export interface StoreCall extends RecordCall {
  /**
   * Record key of 32 bytes. If absent, it is drawn here, never by the server: with a known key, the
   * same STORE can be sent again after its answer was lost.
   */
  readonly key?: Uint8Array;
  /** Only if nothing is stored under the ID: `CONFLICT` otherwise. */
  readonly ifAbsent?: boolean;
  /** Only if the record has this revision, 8 bytes: `CONFLICT` otherwise. */
  readonly ifRevision?: Uint8Array;
  /** The key of the record that is replaced: `WRONG_KEY` if it is another. */
  readonly oldKey?: Uint8Array;
  /** When the record expires, in milliseconds since 1970 (UTC). */
  readonly expiryMs?: number;
  /** The record can be read only once; its reader may read it again within a minute. */
  readonly once?: boolean;
  /** Sealed with the record and given back with it; at most 255 bytes. */
  readonly contentType?: string;
}

/** How a record is retrieved. */
export interface RetrieveCall extends RecordCall {
  /**
   * 16 to 64 random bytes, drawn if absent: with the same bytes, a record that can be read once can
   * be read again within a minute, if its answer was lost.
   */
  readonly reader?: Uint8Array;
}

/** Under which conditions a record is deleted. */
export interface DeleteCall extends RecordCall {
  /** Only if this is the record's key: `WRONG_KEY` otherwise. */
  readonly key?: Uint8Array;
  /** Only if the record has this revision, 8 bytes: `CONFLICT` otherwise. */
  readonly ifRevision?: Uint8Array;
}

/** The answer to a STORE. */
export interface Stored {
  /** The only key that opens the record, 32 bytes. The server keeps it nowhere. */
  readonly key: Buffer;
  /** 8 bytes that identify this write. */
  readonly revision: Buffer;
  /** Whether a record was there before. */
  readonly replaced: boolean;
}

/** What is known of a record besides its content. */
export interface RecordFacts {
  /** 8 bytes that identify its last write. */
  readonly revision: Buffer;
  /** Milliseconds since 1970 (UTC); undefined for never. */
  readonly expiryMs: number | undefined;
  /** Whether it can be read once. */
  readonly once: boolean;
}

/** A record, and what was stored with it. */
export interface Retrieved extends RecordFacts {
  /** The record itself, as it was stored. */
  readonly record: Buffer;
  /** As stored with the record, at most 255 bytes; undefined if there was none. */
  readonly contentType: string | undefined;
}

/** What can be known of a record without its key. */
export interface Peeked extends RecordFacts {
  /** Size of the sealed body, in bytes: a little more than the record. */
  readonly sealedBytes: number;
}

export function pushStoreFields(fields: FieldEntry[], call: StoreCall): void {
  const { ifRevision, oldKey, expiryMs, contentType } = call;
  if (call.ifAbsent) fields.push(emptyField(FIELD.IF_ABSENT));
  if (ifRevision !== undefined) fields.push(bytesField(FIELD.IF_REVISION, bufferOf(ifRevision)));
  if (oldKey !== undefined) fields.push(bytesField(FIELD.OLD_KEY, bufferOf(oldKey)));
  if (expiryMs !== undefined) fields.push(u64Field(FIELD.EXPIRY, checkedTime(expiryMs)));
  if (call.once) fields.push(emptyField(FIELD.ONCE));
  if (contentType !== undefined) {
    fields.push(bytesField(FIELD.CONTENT_TYPE, bufferOf(contentType, 'INVALID_FIELD')));
  }
}

function checkedTime(expiryMs: number): number {
  if (Number.isSafeInteger(expiryMs) && expiryMs > 0 && expiryMs <= EXPIRY_MS_MAX) return expiryMs;
  throw new EncServerError('INVALID_FIELD', 'the expiry is no time', {
    hint: 'milliseconds since 1970, such as Date.now() + 60_000',
  });
}

export function factsOf(fields: Fields): RecordFacts {
  return {
    revision: fields.requireBytes(FIELD.REVISION),
    expiryMs: fields.u64(FIELD.EXPIRY),
    once: fields.has(FIELD.ONCE),
  };
}

export function nameFields(id: string | Uint8Array, call: RecordCall): FieldEntry[] {
  return [bytesField(FIELD.ID, bufferOf(id, 'INVALID_ID')), ...namespaceFields(call)];
}

export function namespaceFields({ namespace }: RecordCall): FieldEntry[] {
  if (namespace === undefined) return [];
  return [bytesField(FIELD.NAMESPACE, bufferOf(namespace, 'INVALID_NAMESPACE'))];
}

/** @throws EncServerError `INVALID_FIELD` */
export function limitField(limit: number): FieldEntry {
  if (Number.isInteger(limit) && limit >= 1 && limit <= LIST_IDS_MAX)
    return u32Field(FIELD.LIMIT, limit);
  throw new EncServerError('INVALID_FIELD', `the limit of a page is 1 to ${LIST_IDS_MAX}`);
}

/** The IDs of one page of a list. @throws EncServerError `BAD_FRAME` */
export function decodeIds(body: Buffer): Buffer[] {
  const ids: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const idAt = at + 2;
    at = idAt > body.length ? Number.POSITIVE_INFINITY : idAt + body.readUInt16BE(at);
    if (at > body.length) throw new EncServerError('BAD_FRAME', 'a list of IDs is cut');
    ids.push(body.subarray(idAt, at));
  }
  return ids;
}
