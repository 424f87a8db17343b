/**
 * The back end's client library. A front end asks it for sealed records by store key; people
 * and tools for opaque bytes by token. What goes over the wire is in docs/PROTOCOL.md
 * ("Operations", "Back end").
 *
 * @module be-client
 */
import { EncServerError, type ErrorCode } from '../errors.ts';
import { type CallOptions, FrameClient, infoOf, readCall, writeCall } from '../net/client.ts';
import type { Address } from '../net/lane.ts';
import type { TlsClientFiles } from '../net/tls-files.ts';
import { bufferOf } from '../protocol/bytes.ts';
import {
  bytesField,
  type FieldEntry,
  type Fields,
  u32Field,
  u64Field,
} from '../protocol/fields.ts';
import {
  DEFAULT_LIMITS,
  FRAME_BYTES_MAX,
  HEAD_BYTES_MAX,
  SMALL_LANE_BYTES_MAX,
  SMALL_REQUEST_BYTES_MAX,
} from '../protocol/limits.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import {
  ALWAYS,
  IF_ABSENT,
  type PutResult,
  type ScanItem,
  type StoredHead,
  type StoredValue,
  type Value,
} from '../store/store.ts';
import { AGENT } from '../version.ts';
import { type BeCall, fieldsOf, keyFields, noBackEnd, pushCondition } from './call.ts';
import { decodeScanItems } from './scan-items.ts';
import { BeSnapshot } from './snapshot-client.ts';
import { tokenKey } from './token-key.ts';

export type { ErrorCode, ErrorFacts, ErrorRow, ExitCode, Retry } from '../errors.ts';
export { EncServerError } from '../errors.ts';
export type { CallOptions } from '../net/client.ts';
export { parseAddress } from '../net/client.ts';
export type { Address } from '../net/lane.ts';
export type { TlsClientFiles } from '../net/tls-files.ts';
export type {
  Condition,
  PutResult,
  ScanItem,
  StoredHead,
  StoredValue,
  Value,
} from '../store/store.ts';
export type { BeCall } from './call.ts';
export type { BeSnapshot } from './snapshot-client.ts';

/** Public facts of a keyring (docs/ENVELOPE.md, "Keyring file"). */
export interface KeyringFacts {
  /** 16 bytes; they never change. */
  readonly keyringId: Buffer;
  /** 1 to 2^32 - 1: one more at each change of its entries. */
  readonly epoch: number;
}

/** Where the back end is, and how to call it. */
export interface BeClientOptions {
  /** From {@link parseAddress}. */
  readonly address: Address;
  /** Connections for records up to 64 KiB; default 2. */
  readonly smallConnections?: number;
  /** Connections for larger records, so that they do not delay small ones; default 1. */
  readonly bulkConnections?: number;
  /** Longest time to wait for an answer, in milliseconds; default 10,000. */
  readonly timeoutMs?: number;
  /** The keyring that the connections are bound to; without it, only tokens can be requested. */
  readonly keyring?: () => Promise<KeyringFacts>;
  /** Access token; sent at the start of each connection. */
  readonly token?: string | undefined;
  /** Calls over TLS if given, in the clear otherwise. */
  readonly tls?: TlsClientFiles | undefined;
  /** Lets the token be sent to another machine in the clear: where the network itself encrypts. */
  readonly allowPlaintext?: boolean | undefined;
  /** Calls on behalf of others: refusals of this client itself reach them as `UNAVAILABLE`. */
  readonly forOthers?: boolean;
  /** Connects at once and reconnects by itself; default: at the first call. */
  readonly stayConnected?: boolean;
}

/** One page of keys in the back end. */
export interface BeScan {
  /** In ascending order of their keys, bytewise. */
  readonly items: readonly ScanItem[];
  /** Key to continue after, or undefined at the end. */
  readonly next: Buffer | undefined;
}

/**
 * A client of one back end. Store keys are 27 bytes for records (docs/ENVELOPE.md, "Pseudonyms")
 * and 2 to 4097 for tokens; a token is 1 to 4096 bytes.
 *
 * Every method rejects with {@link EncServerError}. Besides the codes listed for each method, any
 * may reject with `UNAVAILABLE`, `TIMEOUT`, `CANCELLED`, `OVERLOADED`, `RATE_LIMITED`,
 * `TLS_FAILED`, `UNAUTHENTICATED`, `NOT_ALLOWED`, `KEYRING_MISMATCH`, `STALE_EPOCH` or
 * `INVALID_FIELD`, and those that write also with `UNKNOWN_OUTCOME`. docs/ERRORS.md lists them all.
 */
export class BeClient {
  /** Whether it supports conditions, expiry and pages. */
  readonly takesConditions: boolean = true;
  readonly #small: FrameClient;
  readonly #bulk: FrameClient;

  readonly #token: string | undefined;

  /**
   * Does not connect yet, except with `stayConnected`. Throws `INVALID_FIELD` for malformed options,
   * `BAD_CONFIG` if the token would travel in the clear beyond loopback.
   */
  constructor(options: BeClientOptions) {
    const { keyring, token } = options;
    this.#token = token;
    const greets = keyring !== undefined || token !== undefined;
    const shared = {
      address: options.address,
      timeoutMs: options.timeoutMs ?? DEFAULT_LIMITS.requestTimeoutMs,
      frameBytesMax: FRAME_BYTES_MAX,
      connectTimeoutMs: options.timeoutMs ?? DEFAULT_LIMITS.requestTimeoutMs,
      ...(options.forOthers && { explain: asUnavailable, mendedByCaller: MENDED_BY_FRONT_END }),
      stayConnected: options.stayConnected ?? false,
      attemptsMax: 3,
      token,
      tls: options.tls,
      allowPlaintext: options.allowPlaintext,
      ...(greets && { hello: async () => helloFields(await keyring?.(), token) }),
    };
    this.#small = new FrameClient({ ...shared, connections: options.smallConnections ?? 2 });
    this.#bulk = new FrameClient({
      ...shared,
      stayConnected: false,
      connections: options.bulkConnections ?? 1,
    });
  }

  /** Whether a connection for small records is open, its HELLO answered. */
  get connected(): boolean {
    return this.#small.connected;
  }

  /** Why there is no connection, if connecting was tried. */
  get lastError(): EncServerError | undefined {
    return this.#small.lastError;
  }

  /**
   * Writes a sealed value under a store key; once it resolves, the value is on disk. Rejects with
   * `CONFLICT` if the condition does not hold, and `RECORD_TOO_LARGE`.
   */
  async put(key: Buffer, value: Value, condition = ALWAYS, call: BeCall = {}): Promise<PutResult> {
    const fields = keyFields(key, call);
    if (value.head.length > 0) fields.push(bytesField(FIELD.HEAD, value.head));
    if (value.expiryMs > 0) fields.push(u64Field(FIELD.EXPIRY, value.expiryMs));
    if (value.revision !== undefined) fields.push(bytesField(FIELD.REVISION, value.revision));
    pushCondition(fields, condition);
    // A frame above the small ones may wait for room, and everything behind it on its lane.
    const isSmall = value.body.length <= SMALL_REQUEST_BYTES_MAX - PUT_FIELDS_BYTES_MAX;
    const lane = isSmall ? this.#small : this.#bulk;
    const answer = await lane.call(writeCall(OPCODE.PUT, fields, value.body, false, call));
    return {
      revision: answer.fields.requireBytes(FIELD.REVISION),
      replaced: answer.fields.u8(FIELD.REPLACED) === 1,
    };
  }

  /**
   * The value under a store key. Rejects with `NOT_FOUND`, or `LARGE` with the size if the body is
   * above `acceptBytes`.
   */
  async get(key: Buffer, acceptBytes: number, call: BeCall = {}): Promise<StoredValue> {
    const fields = keyFields(key, call);
    fields.push(u32Field(FIELD.ACCEPT_BYTES, acceptBytes));
    const lane = acceptBytes > SMALL_LANE_BYTES_MAX ? this.#bulk : this.#small;
    const answer = await lane.call(readCall(OPCODE.GET, fields, call));
    const { head, revision, expiryMs, bodyBytes } = headOf(answer.fields, answer.body.length);
    return { head, revision, expiryMs, bodyBytes, body: answer.body };
  }

  /** Head, revision and size without the body. Rejects with `NOT_FOUND`. */
  async head(key: Buffer, call: BeCall = {}): Promise<StoredHead> {
    const fields = keyFields(key, call);
    const answer = await this.#small.call(readCall(OPCODE.HEAD, fields, call));
    return headOf(answer.fields, answer.fields.u32(FIELD.SIZE) ?? 0);
  }

  /** Removes a value; resolves to whether there was one. Rejects with `CONFLICT`. */
  async remove(key: Buffer, condition = ALWAYS, call: BeCall = {}): Promise<boolean> {
    const fields = keyFields(key, call);
    pushCondition(fields, condition);
    const answer = await this.#small.call(writeCall(OPCODE.REMOVE, fields, undefined, false, call));
    return answer.fields.u8(FIELD.REPLACED) === 1;
  }

  /**
   * One page of keys that begin with `prefix`, in ascending order, after `after`: 1 to 10,000 of
   * them, as `limit` says, and at most 1 MiB.
   */
  async scan(
    prefix: Buffer,
    after: Buffer | undefined,
    limit: number,
    call: BeCall = {},
  ): Promise<BeScan> {
    const fields = [bytesField(FIELD.PREFIX, bufferOf(prefix)), u32Field(FIELD.LIMIT, limit)];
    if (after !== undefined) fields.push(bytesField(FIELD.AFTER, bufferOf(after)));
    fields.push(...fieldsOf(call));
    const answer = await this.#small.call(readCall(OPCODE.SCAN, fields, call));
    return { items: decodeScanItems(answer.body), next: answer.fields.bytes(FIELD.AFTER) };
  }

  /** Stores bytes under a token, unchanged. Rejects with `INVALID_ID`, `INVALID_RECORD`, `RECORD_TOO_LARGE`. */
  async store(
    token: string | Uint8Array,
    record: Uint8Array,
    call: BeCall = {},
  ): Promise<PutResult> {
    const value = { head: NO_BYTES, body: bufferOf(record), expiryMs: 0 };
    return await this.put(tokenKey(token), value, ALWAYS, call);
  }

  /** As {@link store}, but only if nothing is stored there: `CONFLICT`. */
  async storeIfAbsent(
    token: string | Uint8Array,
    record: Uint8Array,
    call: BeCall = {},
  ): Promise<PutResult> {
    const value = { head: NO_BYTES, body: bufferOf(record), expiryMs: 0 };
    return await this.put(tokenKey(token), value, IF_ABSENT, call);
  }

  /** The bytes under a token. Rejects with `NOT_FOUND`, `INVALID_ID`. */
  async retrieve(token: string | Uint8Array, call: BeCall = {}): Promise<Buffer> {
    const key = tokenKey(token);
    for (let acceptBytes = SMALL_LANE_BYTES_MAX, tries = 1; ; tries++) {
      try {
        return (await this.get(key, acceptBytes, call)).body ?? NO_BYTES;
      } catch (error) {
        const isLarge = error instanceof EncServerError && error.code === 'LARGE';
        // The stored bytes may be replaced by something larger in between.
        if (!isLarge || tries >= LARGE_TRIES_MAX) throw error;
        acceptBytes = error.sizeBytes ?? 0;
      }
    }
  }

  /** Removes what is under a token; resolves to whether there was something. */
  async delete(token: string | Uint8Array, call: BeCall = {}): Promise<boolean> {
    return await this.remove(tokenKey(token), ALWAYS, call);
  }

  /**
   * Tells the server of a newer epoch of the keyring, on every open connection. Once it resolves,
   * nothing under an older epoch is executed any more.
   */
  async greet(keyring: KeyringFacts): Promise<void> {
    const hello = readCall(OPCODE.HELLO, helloFields(keyring, this.#token), {});
    await this.#small.callEach(hello);
    if (this.#bulk.connected) await this.#bulk.callEach(hello);
  }

  /**
   * The keyring that the store was filled under, if any; asks on a connection of its own. Rejects
   * with `BAD_CONFIG` if the server is not a back end.
   */
  async askKeyring(): Promise<KeyringFacts | undefined> {
    const fields = await this.#ask();
    const keyringId = fields.bytes(FIELD.KEYRING);
    const epoch = fields.u32(FIELD.EPOCH);
    return keyringId === undefined || epoch === undefined ? undefined : { keyringId, epoch };
  }

  /**
   * The longest record that the server takes, in bytes; undefined if it does not say. Rejects as
   * {@link askKeyring}.
   */
  async askRecordBytesMax(): Promise<number | undefined> {
    return (await this.#ask()).u32(FIELD.RECORD_BYTES_MAX);
  }

  /** Greets without a keyring, which only asks. */
  async #ask(): Promise<Fields> {
    const fields = [bytesField(FIELD.AGENT, Buffer.from(AGENT))];
    const answer = await this.#small.call(readCall(OPCODE.HELLO, fields, {}));
    if (!answer.fields.has(FIELD.STORE_ID)) throw noBackEnd();
    return answer.fields;
  }

  /** Opens a snapshot for a backup; needs the scope `admin`. Rejects with `OVERLOADED`. */
  async openSnapshot(): Promise<BeSnapshot> {
    const { fields } = await this.#bulk.call(readCall(OPCODE.SNAPSHOT_OPEN, [], {}));
    return new BeSnapshot(this.#bulk, fields.requireBytes(FIELD.LEASE));
  }

  /** Resolves when the server answers; needs no scope. */
  async ping(): Promise<void> {
    await this.#small.call(readCall(OPCODE.PING, [], {}));
  }

  /** Facts that the server reports of itself, as parsed JSON; needs the scope `frontend`. */
  async info(call: CallOptions = {}): Promise<Record<string, unknown>> {
    const answer = await this.#small.call(readCall(OPCODE.INFO, [], call));
    return infoOf(answer);
  }

  /** Returns at once; requests under way are still answered, then the connections close. */
  close(): void {
    this.#small.close();
    this.#bulk.close();
  }
}

/** Before a retry, a front end loads the newer keyring and derives other store keys. */
const MENDED_BY_FRONT_END: ReadonlySet<ErrorCode> = new Set(['STALE_EPOCH'] as const);
const NO_BYTES = Buffer.alloc(0);
const LARGE_TRIES_MAX = 5;
/** More than the header and the fields of a PUT have: head, key, condition, trace. In bytes. */
const PUT_FIELDS_BYTES_MAX = HEAD_BYTES_MAX + 1024;

const SETS = 'whoever runs the servers';
/** Errors that concern only a front end and its back end, and what mends them. */
const BETWEEN_SERVERS: Partial<Record<ErrorCode, string>> = {
  UNAUTHENTICATED: `${SETS} sets token, or the client certificate of TLS, in beClientConfigs`,
  NOT_ALLOWED: `${SETS} gives the token or certificate in beClientConfigs the scope frontend`,
  RATE_LIMITED: `try again; ${SETS} sets requestsPerSecondMax in beServerConfigs to more, or to 0`,
  TLS_FAILED: `${SETS} looks at tls, tlsCa and tlsServerName in beClientConfigs`,
  FILE_ERROR: `${SETS} looks at the files of TLS in beClientConfigs`,
};

function asUnavailable(error: EncServerError): EncServerError {
  const hint = BETWEEN_SERVERS[error.code];
  if (hint === undefined) return error;
  const words = `the back end does not take this front end (${error.code}: ${error.message})`;
  return new EncServerError('UNAVAILABLE', words, { hint, cause: error });
}

function helloFields(keyring: KeyringFacts | undefined, token: string | undefined): FieldEntry[] {
  const fields = [bytesField(FIELD.AGENT, Buffer.from(AGENT))];
  if (token !== undefined) fields.push(bytesField(FIELD.TOKEN, Buffer.from(token)));
  if (keyring === undefined) return fields;
  fields.push(bytesField(FIELD.KEYRING, keyring.keyringId));
  fields.push(u32Field(FIELD.EPOCH, keyring.epoch));
  return fields;
}

function headOf(fields: Fields, bodyBytes: number): StoredHead {
  return {
    head: fields.bytes(FIELD.HEAD) ?? NO_BYTES,
    revision: fields.requireBytes(FIELD.REVISION),
    expiryMs: fields.u64(FIELD.EXPIRY) ?? 0,
    bodyBytes,
  };
}
