/**
 * The front end's client library: stores, retrieves and deletes records over a few pipelined
 * connections, and sends again what is safe to send again.
 */
import { randomBytes } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { type CallOptions, FrameClient, infoOf, readCall, writeCall } from '../net/client.ts';
import type { Address } from '../net/lane.ts';
import type { TlsClientFiles } from '../net/tls-files.ts';
import {
  bytesField,
  emptyField,
  type FieldEntry,
  type Fields,
  u64Field,
} from '../protocol/fields.ts';
import { DEFAULT_LIMITS, KEY_BYTES } from '../protocol/limits.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import { AGENT } from '../version.ts';

export type { ErrorCode } from '../errors.ts';
export { EncServerError } from '../errors.ts';
export type { CallOptions } from '../net/client.ts';
export { parseAddress } from '../net/client.ts';
export type { Address } from '../net/lane.ts';

export interface FeClientOptions {
  readonly address: Address;
  /** Connections that the calls are spread over; default 1. */
  readonly connections?: number;
  /** Longest time for an answer, in milliseconds, all attempts together; default 10,000. */
  readonly timeoutMs?: number;
  /** Largest frame that is taken, in bytes; default: a record of 8 MiB. */
  readonly frameBytesMax?: number;
  /** Access token; sent as each connection begins. */
  readonly token?: string | undefined;
  /** Calls over TLS where it is given. */
  readonly tls?: TlsClientFiles | undefined;
  /** How often one call is sent at the most, where that is safe; default 3. */
  readonly attemptsMax?: number;
}

export interface RecordCall extends CallOptions {
  /** At most 255 bytes; default: none. */
  readonly namespace?: string | Uint8Array;
}

export interface StoreCall extends RecordCall {
  /**
   * Record key of 32 bytes. Drawn here where it is left out, never by the server: with its key
   * known, the same STORE can be sent again when its answer was lost.
   */
  readonly key?: Uint8Array;
  /** Only if nothing is stored under the ID: `CONFLICT` otherwise. */
  readonly ifAbsent?: boolean;
  /** Only if the record has this revision, 8 bytes: `CONFLICT` otherwise. */
  readonly ifRevision?: Uint8Array;
  /** The key of the record that is replaced: `WRONG_KEY` if it is another. */
  readonly oldKey?: Uint8Array;
  /** When the record ends, in milliseconds since 1970 (UTC). */
  readonly expiryMs?: number;
  /** The record can be read once; by its reader again within a minute. */
  readonly once?: boolean;
  /** Sealed with the record and given back with it; at most 255 bytes. */
  readonly contentType?: string;
}

export interface RetrieveCall extends RecordCall {
  /**
   * 16 to 64 random bytes, drawn where left out: with the same ones, a record that can be read
   * once can be asked for again within a minute, when its answer was lost.
   */
  readonly reader?: Uint8Array;
}

export interface DeleteCall extends RecordCall {
  /** Only if this is the record's key: `WRONG_KEY` otherwise. */
  readonly key?: Uint8Array;
  /** Only if the record has this revision, 8 bytes: `CONFLICT` otherwise. */
  readonly ifRevision?: Uint8Array;
}

export interface Stored {
  /** The only key that opens the record, 32 bytes. The server keeps it nowhere. */
  readonly key: Buffer;
  /** 8 bytes that name this very write. */
  readonly revision: Buffer;
  /** Whether a record was there before. */
  readonly replaced: boolean;
}

/** What is told of a record beside itself. */
export interface RecordFacts {
  /** 8 bytes that name its last write. */
  readonly revision: Buffer;
  /** Milliseconds since 1970 (UTC); undefined for never. */
  readonly expiryMs: number | undefined;
  /** Whether it can be read once. */
  readonly once: boolean;
}

export interface Retrieved extends RecordFacts {
  readonly record: Buffer;
  readonly contentType: string | undefined;
}

export interface Peeked extends RecordFacts {
  /** Of the sealed body, in bytes: a little more than the record. */
  readonly sealedBytes: number;
}

/** A fresh record key of 32 random bytes. */
export function drawKey(): Buffer {
  return randomBytes(KEY_BYTES);
}

export class FeClient {
  readonly #client: FrameClient;

  constructor(options: FeClientOptions) {
    const timeoutMs = options.timeoutMs ?? DEFAULT_LIMITS.requestTimeoutMs;
    this.#client = new FrameClient({
      address: options.address,
      connections: options.connections ?? 1,
      timeoutMs,
      connectTimeoutMs: timeoutMs,
      frameBytesMax: options.frameBytesMax ?? DEFAULT_LIMITS.frameBytesMax,
      attemptsMax: options.attemptsMax ?? 3,
      tls: options.tls,
      ...(options.token !== undefined && { hello: async () => helloFields(options.token ?? '') }),
      stayConnected: false,
    });
  }

  /**
   * Stores a record under an ID of 1 to 1024 bytes; what was there before is replaced.
   * Rejects with `CONFLICT` under `ifAbsent`, `WEAK_KEY`, `RECORD_TOO_LARGE`, `UNAVAILABLE`;
   * with `UNKNOWN_OUTCOME` when no attempt was answered.
   */
  async store(id: string | Uint8Array, record: Uint8Array, call: StoreCall = {}): Promise<Stored> {
    const key = call.key === undefined ? drawKey() : bufferOf(call.key);
    const fields = [...nameFields(id, call), bytesField(FIELD.KEY, key)];
    pushStoreFields(fields, call);
    // Under a condition a repetition would find the first attempt's record and report a conflict.
    const idempotent = !call.ifAbsent && call.ifRevision === undefined;
    const answer = await this.#client.call(
      writeCall(OPCODE.STORE, fields, bufferOf(record), idempotent, call),
    );
    return {
      key,
      revision: answer.fields.requireBytes(FIELD.REVISION),
      replaced: answer.fields.u8(FIELD.REPLACED) === 1,
    };
  }

  /** Rejects with `NOT_FOUND`, `WRONG_KEY`, `ALTERED`, `UNAVAILABLE` or `TIMEOUT`. */
  async retrieve(
    id: string | Uint8Array,
    key: Uint8Array,
    call: RetrieveCall = {},
  ): Promise<Retrieved> {
    const fields = [...nameFields(id, call), bytesField(FIELD.KEY, bufferOf(key))];
    const reader = call.reader === undefined ? randomBytes(READER_BYTES) : bufferOf(call.reader);
    fields.push(bytesField(FIELD.READER, reader));
    const answer = await this.#client.call(readCall(OPCODE.RETRIEVE, fields, call));
    const contentType = answer.fields.bytes(FIELD.CONTENT_TYPE)?.toString('utf8');
    return { record: answer.body, contentType, ...factsOf(answer.fields) };
  }

  /** What can be told of a record without its key. Rejects with `NOT_FOUND`, `ALREADY_READ`. */
  async head(id: string | Uint8Array, call: RecordCall = {}): Promise<Peeked> {
    const answer = await this.#client.call(readCall(OPCODE.PEEK, nameFields(id, call), call));
    return { sealedBytes: answer.fields.requireU32(FIELD.SIZE), ...factsOf(answer.fields) };
  }

  /**
   * Seals a record anew under another key; all else of it stays. Sent again, it succeeds.
   * Rejects with `NOT_FOUND`, `WRONG_KEY`, `WEAK_KEY`, `ALREADY_READ` or `CONFLICT`.
   *
   * @param newKey 32 bytes, from {@link drawKey}; to be kept safe before this is called
   */
  async rekey(
    id: string | Uint8Array,
    oldKey: Uint8Array,
    newKey: Uint8Array,
    call: RecordCall = {},
  ): Promise<{ readonly revision: Buffer }> {
    const fields = [
      ...nameFields(id, call),
      bytesField(FIELD.OLD_KEY, bufferOf(oldKey)),
      bytesField(FIELD.KEY, bufferOf(newKey)),
    ];
    const answer = await this.#client.call(writeCall(OPCODE.REKEY, fields, undefined, true, call));
    return { revision: answer.fields.requireBytes(FIELD.REVISION) };
  }

  /**
   * Deletes a record; with a key, only if that is the right one (`WRONG_KEY`). Resolves to
   * whether there was a record. `UNKNOWN_OUTCOME` when the answer was lost: sent again, it might
   * delete what somebody else stored since.
   */
  async delete(id: string | Uint8Array, call: DeleteCall = {}): Promise<boolean> {
    const fields = nameFields(id, call);
    if (call.key !== undefined) fields.push(bytesField(FIELD.KEY, bufferOf(call.key)));
    if (call.ifRevision !== undefined) {
      fields.push(bytesField(FIELD.IF_REVISION, bufferOf(call.ifRevision)));
    }
    const answer = await this.#client.call(
      writeCall(OPCODE.DELETE, fields, undefined, false, call),
    );
    return answer.fields.u8(FIELD.REPLACED) === 1;
  }

  /** Resolves when the server answers. */
  async ping(call: CallOptions = {}): Promise<void> {
    await this.#client.call(readCall(OPCODE.PING, [], call));
  }

  /** Facts that the server tells of itself. */
  async info(call: CallOptions = {}): Promise<Record<string, unknown>> {
    const answer = await this.#client.call(readCall(OPCODE.INFO, [], call));
    return infoOf(answer);
  }

  /** Waits for what is under way, then closes the connections. */
  close(): void {
    this.#client.close();
  }
}

/** Of a reader's token that is drawn here. */
const READER_BYTES = 16;

function pushStoreFields(fields: FieldEntry[], call: StoreCall): void {
  const { ifRevision, oldKey, expiryMs, contentType } = call;
  if (call.ifAbsent) fields.push(emptyField(FIELD.IF_ABSENT));
  if (ifRevision !== undefined) fields.push(bytesField(FIELD.IF_REVISION, bufferOf(ifRevision)));
  if (oldKey !== undefined) fields.push(bytesField(FIELD.OLD_KEY, bufferOf(oldKey)));
  if (expiryMs !== undefined) fields.push(u64Field(FIELD.EXPIRY, checkedTime(expiryMs)));
  if (call.once) fields.push(emptyField(FIELD.ONCE));
  if (contentType !== undefined) {
    fields.push(bytesField(FIELD.CONTENT_TYPE, Buffer.from(contentType, 'utf8')));
  }
}

function checkedTime(expiryMs: number): number {
  if (Number.isSafeInteger(expiryMs) && expiryMs > 0) return expiryMs;
  throw new EncServerError('INVALID_FIELD', 'the expiry is no time', {
    hint: 'milliseconds since 1970, such as Date.now() + 60_000',
  });
}

function factsOf(fields: Fields): RecordFacts {
  return {
    revision: fields.requireBytes(FIELD.REVISION),
    expiryMs: fields.u64(FIELD.EXPIRY),
    once: fields.has(FIELD.ONCE),
  };
}

function helloFields(token: string): FieldEntry[] {
  const agent = bytesField(FIELD.AGENT, Buffer.from(AGENT));
  return [agent, bytesField(FIELD.TOKEN, Buffer.from(token))];
}

function nameFields(id: string | Uint8Array, call: RecordCall): FieldEntry[] {
  const fields = [bytesField(FIELD.ID, bufferOf(id))];
  if (call.namespace !== undefined) {
    fields.push(bytesField(FIELD.NAMESPACE, bufferOf(call.namespace)));
  }
  return fields;
}

/** The bytes themselves, not a copy. */
function bufferOf(bytes: string | Uint8Array): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes, 'utf8');
  if (Buffer.isBuffer(bytes)) return bytes;
  if (bytes instanceof Uint8Array) {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  throw new EncServerError('INVALID_RECORD', 'IDs, keys and records are bytes or strings', {
    hint: 'pass a Uint8Array',
  });
}
