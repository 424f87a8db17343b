/**
 * The front end's client library: stores, retrieves and deletes records over a few pipelined
 * connections, and sends again what is safe to send again.
 */
import { randomBytes } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { type CallOptions, FrameClient, infoOf, readCall, writeCall } from '../net/client.ts';
import type { Address } from '../net/lane.ts';
import { bytesField, emptyField, type FieldEntry } from '../protocol/fields.ts';
import { DEFAULT_LIMITS, KEY_BYTES } from '../protocol/limits.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';

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
}

export interface Stored {
  /** The only key that opens the record, 32 bytes. The server keeps it nowhere. */
  readonly key: Buffer;
  /** 8 bytes that name this very write. */
  readonly revision: Buffer;
  /** Whether a record was there before. */
  readonly replaced: boolean;
}

export interface Retrieved {
  readonly record: Buffer;
  readonly revision: Buffer;
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
    if (call.ifAbsent) fields.push(emptyField(FIELD.IF_ABSENT));
    // Under `ifAbsent` a repetition would find the first attempt's record and report a conflict.
    const idempotent = !call.ifAbsent;
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
    call: RecordCall = {},
  ): Promise<Retrieved> {
    const fields = [...nameFields(id, call), bytesField(FIELD.KEY, bufferOf(key))];
    const answer = await this.#client.call(readCall(OPCODE.RETRIEVE, fields, call));
    return { record: answer.body, revision: answer.fields.requireBytes(FIELD.REVISION) };
  }

  /**
   * Deletes a record; with a key, only if that is the right one (`WRONG_KEY`). Resolves to
   * whether there was a record. `UNKNOWN_OUTCOME` when the answer was lost: sent again, it might
   * delete what somebody else stored since.
   */
  async delete(
    id: string | Uint8Array,
    call: RecordCall & { readonly key?: Uint8Array } = {},
  ): Promise<boolean> {
    const fields = nameFields(id, call);
    if (call.key !== undefined) fields.push(bytesField(FIELD.KEY, bufferOf(call.key)));
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
