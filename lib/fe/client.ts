/**
 * The front end's client library: stores, retrieves and deletes records over a few pipelined
 * connections, and retries what is safe to retry. What goes over the wire is in docs/PROTOCOL.md
 * ("Operations", "Front end").
 *
 * @module fe-client
 */
import { randomBytes } from 'node:crypto';
import { type CallOptions, FrameClient, infoOf, readCall, writeCall } from '../net/client.ts';
import type { Address } from '../net/lane.ts';
import type { TlsClientFiles } from '../net/tls-files.ts';
import { bufferOf } from '../protocol/bytes.ts';
import { bytesField, type FieldEntry, u32Field } from '../protocol/fields.ts';
import {
  DEFAULT_LIMITS,
  FRAME_BYTES_MAX,
  FRAME_OVERHEAD_BYTES,
  KEY_BYTES,
} from '../protocol/limits.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import { AGENT } from '../version.ts';
import {
  type BatchAnswer,
  type BatchRequest,
  decodeAnswers,
  encodeRequests,
  isRepeatable,
} from './client-batch.ts';
import {
  type DeleteCall,
  decodeIds,
  factsOf,
  limitField,
  nameFields,
  namespaceFields,
  type Peeked,
  pushStoreFields,
  type RecordCall,
  type RetrieveCall,
  type Retrieved,
  type StoreCall,
  type Stored,
} from './client-fields.ts';

export type { ErrorCode, ErrorFacts, ErrorRow, ExitCode, Retry } from '../errors.ts';
export { EncServerError } from '../errors.ts';
export type { CallOptions } from '../net/client.ts';
export { parseAddress } from '../net/client.ts';
export type { Address } from '../net/lane.ts';
export type { TlsClientFiles } from '../net/tls-files.ts';
export type {
  BatchAnswer,
  BatchDelete,
  BatchDeleted,
  BatchFailed,
  BatchRequest,
  BatchRetrieve,
  BatchRetrieved,
  BatchStore,
  BatchStored,
} from './client-batch.ts';
export type {
  DeleteCall,
  Peeked,
  RecordCall,
  RecordFacts,
  RetrieveCall,
  Retrieved,
  StoreCall,
  Stored,
} from './client-fields.ts';

/** One page of the IDs of a namespace. */
export interface Listed {
  /** 1 to 1024 bytes each. */
  readonly ids: readonly Buffer[];
  /** Pass this as `after` for the next page; undefined at the end. */
  readonly next: Buffer | undefined;
}

/** Where the front end is, and how to call it. */
export interface FeClientOptions {
  /** From {@link parseAddress}. */
  readonly address: Address;
  /** Connections that the calls are spread over; default 1. */
  readonly connections?: number;
  /** Longest time to wait for an answer, in milliseconds, all attempts together; default 10,000. */
  readonly timeoutMs?: number;
  /** Largest frame that is accepted, in bytes; default: the largest of the format, 16 MiB. */
  readonly frameBytesMax?: number;
  /** Access token, as printed by `enc-server tokens create`; sent as each connection starts. */
  readonly token?: string | undefined;
  /** Calls over TLS if given, in the clear otherwise. */
  readonly tls?: TlsClientFiles | undefined;
  /** Lets the token be sent to another machine in the clear: where the network itself encrypts. */
  readonly allowPlaintext?: boolean | undefined;
  /** How many times one call is sent at most, if retrying is safe; default 3. */
  readonly attemptsMax?: number;
}

/**
 * A fresh record key: 32 bytes of the operating system's random generator (`node:crypto`). Keep it:
 * nobody else has it.
 */
export function drawKey(): Buffer {
  return randomBytes(KEY_BYTES);
}

/**
 * A client of one front end. It connects at the first call, and reconnects after a connection
 * broke.
 *
 * IDs are 1 to 1024 bytes, keys 32 bytes, revisions 8 bytes; strings are taken as UTF-8.
 *
 * Every method rejects with {@link EncServerError}. Besides the codes listed for each method, any
 * may reject with `UNAVAILABLE`, `TIMEOUT`, `CANCELLED`, `OVERLOADED`, `RATE_LIMITED`,
 * `TLS_FAILED`, `UNAUTHENTICATED` or `NOT_ALLOWED`, and, for malformed arguments, with
 * `INVALID_ID`, `INVALID_KEY`, `INVALID_NAMESPACE`, `INVALID_FIELD` or `INVALID_RECORD`.
 * docs/ERRORS.md lists them all.
 */
export class FeClient {
  readonly #client: FrameClient;
  /** Sent with each RETRIEVE: a record too long for this client must not count as read. */
  readonly #acceptBytes: FieldEntry | undefined;

  /**
   * Does not connect yet. Throws `INVALID_FIELD` for malformed options, `BAD_CONFIG` if the token
   * would travel in the clear beyond loopback.
   */
  constructor(options: FeClientOptions) {
    const { timeoutMs = DEFAULT_LIMITS.requestTimeoutMs, frameBytesMax } = options;
    if (frameBytesMax !== undefined) {
      const acceptBytes = Math.max(0, frameBytesMax - FRAME_OVERHEAD_BYTES);
      this.#acceptBytes = u32Field(FIELD.ACCEPT_BYTES, acceptBytes);
    }
    this.#client = new FrameClient({
      address: options.address,
      connections: options.connections ?? 1,
      timeoutMs,
      connectTimeoutMs: timeoutMs,
      frameBytesMax: frameBytesMax ?? FRAME_BYTES_MAX,
      attemptsMax: options.attemptsMax ?? 3,
      token: options.token,
      tls: options.tls,
      allowPlaintext: options.allowPlaintext,
      // Also without a token: the server says how long a record may be.
      hello: async () => helloFields(options.token),
      stayConnected: false,
    });
  }

  /**
   * Stores a record of at most 8 MiB (unless the server has another limit) under an ID, replacing
   * what was there before. Once it resolves, the record is on the disk of the back end. Rejects
   * with `CONFLICT` under a condition, `WRONG_KEY`, `KEY_REQUIRED`, `WEAK_KEY`, `RECORD_TOO_LARGE`;
   * with `UNKNOWN_OUTCOME` if no attempt was answered.
   */
  async store(id: string | Uint8Array, record: Uint8Array, call: StoreCall = {}): Promise<Stored> {
    const key = call.key === undefined ? drawKey() : bufferOf(call.key);
    const fields = [...nameFields(id, call), bytesField(FIELD.KEY, key)];
    pushStoreFields(fields, call);
    // Under a condition, a retry would find the first attempt's record and report a conflict.
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

  /**
   * The record under an ID. Rejects with `NOT_FOUND`, `WRONG_KEY`, `ALREADY_READ`, and with
   * `ALTERED` if the stored bytes are not what was sealed.
   */
  async retrieve(
    id: string | Uint8Array,
    key: Uint8Array,
    call: RetrieveCall = {},
  ): Promise<Retrieved> {
    const fields = [...nameFields(id, call), bytesField(FIELD.KEY, bufferOf(key))];
    const reader = call.reader === undefined ? randomBytes(READER_BYTES) : bufferOf(call.reader);
    fields.push(bytesField(FIELD.READER, reader));
    if (this.#acceptBytes !== undefined) fields.push(this.#acceptBytes);
    const answer = await this.#client.call(readCall(OPCODE.RETRIEVE, fields, call));
    const contentType = answer.fields.bytes(FIELD.CONTENT_TYPE)?.toString('utf8');
    return { record: answer.body, contentType, ...factsOf(answer.fields) };
  }

  /** What can be known of a record without its key. Rejects with `NOT_FOUND`, `ALREADY_READ`. */
  async head(id: string | Uint8Array, call: RecordCall = {}): Promise<Peeked> {
    const answer = await this.#client.call(readCall(OPCODE.PEEK, nameFields(id, call), call));
    return { sealedBytes: answer.fields.requireU32(FIELD.SIZE), ...factsOf(answer.fields) };
  }

  /**
   * Seals a record again under another key; everything else of it stays. It can safely be repeated.
   * Rejects with `NOT_FOUND`, `WRONG_KEY`, `WEAK_KEY` or `ALREADY_READ`.
   *
   * @param newKey 32 bytes, from {@link drawKey}; store it safely before this call
   */
  async rekey(
    id: string | Uint8Array,
    oldKey: Uint8Array,
    newKey: Uint8Array,
    call: RecordCall = {},
  ): Promise<{
    /** 8 bytes that identify this write. */
    readonly revision: Buffer;
  }> {
    const fields = [
      ...nameFields(id, call),
      bytesField(FIELD.OLD_KEY, bufferOf(oldKey)),
      bytesField(FIELD.KEY, bufferOf(newKey)),
    ];
    const answer = await this.#client.call(writeCall(OPCODE.REKEY, fields, undefined, true, call));
    return { revision: answer.fields.requireBytes(FIELD.REVISION) };
  }

  /**
   * Deletes a record; with a key, only if that is the right one (`WRONG_KEY`). Resolves to whether
   * there was a record. `UNKNOWN_OUTCOME` if the answer was lost: a retry might delete what
   * somebody else has stored since.
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

  /**
   * Many requests in one, at most 1,000, executed in no particular order. Resolves to an answer for
   * each, in the order of the requests; a failed one has an error, and does not affect the others.
   * It is retried only if repeating all of it is safe. A record longer than its share of the reply
   * is `LARGE` and stays unread.
   */
  async batch(requests: readonly BatchRequest[], call: CallOptions = {}): Promise<BatchAnswer[]> {
    const keyed = requests.map((request) =>
      request.op === 'store' ? { ...request, key: bufferOf(request.key ?? drawKey()) } : request,
    );
    const body = encodeRequests(keyed, () => randomBytes(READER_BYTES));
    const answer = await this.#client.call(
      writeCall(OPCODE.BATCH, [], body, keyed.every(isRepeatable), call),
    );
    return decodeAnswers(answer.body, keyed);
  }

  /**
   * One page of the IDs of a namespace, in no meaningful order; needs the scope `admin`.
   *
   * @param page `after`: {@link Listed.next} of the page before; `limit`: 1 to 10,000, default
   *   1,000
   */
  async list(
    page: { readonly after?: Uint8Array | undefined; readonly limit?: number } = {},
    call: RecordCall = {},
  ): Promise<Listed> {
    const fields = namespaceFields(call);
    if (page.after !== undefined) fields.push(bytesField(FIELD.AFTER, bufferOf(page.after)));
    if (page.limit !== undefined) fields.push(limitField(page.limit));
    const { fields: facts, body } = await this.#client.call(readCall(OPCODE.LIST, fields, call));
    return { ids: decodeIds(body), next: facts.bytes(FIELD.AFTER) };
  }

  /** Resolves when the server answers; needs no scope. */
  async ping(call: CallOptions = {}): Promise<void> {
    await this.#client.call(readCall(OPCODE.PING, [], call));
  }

  /** Facts that the server reports of itself, as parsed JSON; needs the scope `admin`. */
  async info(call: CallOptions = {}): Promise<Record<string, unknown>> {
    const answer = await this.#client.call(readCall(OPCODE.INFO, [], call));
    return infoOf(answer);
  }

  /** Returns at once; requests under way are still answered, then the connections close. */
  close(): void {
    this.#client.close();
  }
}

/** Size of a reader's token that is drawn here. */
const READER_BYTES = 16;

function helloFields(token: string | undefined): FieldEntry[] {
  const agent = bytesField(FIELD.AGENT, Buffer.from(AGENT));
  return token === undefined ? [agent] : [agent, bytesField(FIELD.TOKEN, Buffer.from(token))];
}
