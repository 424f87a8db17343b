/**
 * A back end of the family's other programs: it stores a string under a string, and that is all.
 * Store keys and values are written to it as hexadecimal digits. There are no conditions, expiry or
 * pages, so requests that need those are refused; docs/INTEROP.md says what remains.
 */
import { createHash } from 'node:crypto';
import { EncServerError, toEncServerError } from '../errors.ts';
import type { CallSettings } from '../net/call-settings.ts';
import { SMALL_LANE_BYTES_MAX } from '../protocol/limits.ts';
import {
  type Condition,
  type PutResult,
  REVISION_BYTES,
  type StoredHead,
  type StoredValue,
  type Value,
} from '../store/store.ts';
import type { BackEnd } from './back-end.ts';
import type { BeCall, BeScan } from './client.ts';

export type FamilyDialect = 'go-v1' | 'go-v2' | 'python';

/** How to speak to one of the programs. The strings hold hexadecimal digits. */
export interface FamilyLink {
  /** The longest value that fits into its messages, in bytes before they become digits. */
  readonly valueBytesMax: number;
  /** Rejects with `UNAVAILABLE` if the request was not handed over, else `UNKNOWN_OUTCOME`. */
  store(id: string, data: string, timeoutMs: number): Promise<void>;
  /** Undefined if there is nothing. Rejects with `UNAVAILABLE`. */
  retrieve(id: string, timeoutMs: number): Promise<string | undefined>;
  /** As {@link store}; deleting what is not there is not an error. */
  delete(id: string, timeoutMs: number): Promise<void>;
  /** Checks whether somebody listens. Rejects with `UNAVAILABLE`. */
  probe(timeoutMs: number): Promise<void>;
  close(): void;
}

const FORMAT = 1;
const HEAD_AT = 3;

/** Does not wait for the back end; `connected` tells whether it is reachable. */
export async function openFamilyBackEnd(
  dialect: FamilyDialect,
  call: CallSettings,
  timeoutMs: number,
): Promise<BackEnd> {
  return new FamilyBackEnd(await openLink(dialect, call), timeoutMs);
}

/** Rejects with `UNAVAILABLE` if nobody listens. */
export async function probeFamily(
  dialect: FamilyDialect,
  call: CallSettings,
  timeoutMs: number,
): Promise<undefined> {
  const link = await openLink(dialect, call);
  try {
    await link.probe(timeoutMs);
  } finally {
    link.close();
  }
}

async function openLink(dialect: FamilyDialect, call: CallSettings): Promise<FamilyLink> {
  if (call.tls !== undefined || call.token !== undefined) {
    const words = `a back end of the dialect ${dialect} knows no TLS and no token`;
    throw new EncServerError('BAD_CONFIG', words, { hint: 'leave them out of beClientConfigs' });
  }
  if (dialect === 'go-v2') {
    const { FamilyGrpc } = await import('./family-grpc.ts');
    return new FamilyGrpc(call.address);
  }
  const { FamilyText } = await import('./family-text.ts');
  return new FamilyText(call.address, dialect);
}

class FamilyBackEnd implements BackEnd {
  readonly takesConditions = false;
  readonly #link: FamilyLink;
  readonly #timeoutMs: number;
  connected = false;
  lastError: EncServerError | undefined;

  constructor(link: FamilyLink, timeoutMs: number) {
    this.#link = link;
    this.#timeoutMs = timeoutMs;
    // Finds out whether it is reachable before the first request needs it.
    this.info().catch(() => undefined);
  }

  async put(
    key: Buffer,
    value: Value,
    condition?: Condition,
    call: BeCall = {},
  ): Promise<PutResult> {
    refuseConditions(condition);
    if (value.expiryMs > 0) throw tooPlain('forgets no record by itself');
    const bytes = encodeValue(value);
    const { valueBytesMax } = this.#link;
    if (bytes.length > valueBytesMax) {
      const words = `sealed, the record has ${bytes.length} bytes; its back end takes ${valueBytesMax}`;
      throw new EncServerError('RECORD_TOO_LARGE', words, { hint: 'see docs/INTEROP.md' });
    }
    // The back end does not tell whether something was there.
    const before = await this.#retrieve(key, call);
    const id = key.toString('hex');
    await this.#noting(this.#link.store(id, bytes.toString('hex'), this.#timeOf(call)));
    return { revision: revisionOf(bytes), replaced: before !== undefined };
  }

  async get(key: Buffer, acceptBytes: number, call: BeCall = {}): Promise<StoredValue> {
    const bytes = await this.#retrieve(key, call);
    if (bytes === undefined) throw new EncServerError('NOT_FOUND', 'nothing is stored there');
    const value = decodeValue(bytes);
    if (value.bodyBytes > Math.max(acceptBytes, SMALL_LANE_BYTES_MAX)) {
      const words = `the body has ${value.bodyBytes} bytes`;
      throw new EncServerError('LARGE', words, { sizeBytes: value.bodyBytes });
    }
    return value;
  }

  async head(key: Buffer, call: BeCall = {}): Promise<StoredHead> {
    const { body: _body, ...head } = await this.get(key, Number.POSITIVE_INFINITY, call);
    return head;
  }

  async remove(key: Buffer, condition?: Condition, call: BeCall = {}): Promise<boolean> {
    refuseConditions(condition);
    const before = await this.#retrieve(key, call);
    await this.#noting(this.#link.delete(key.toString('hex'), this.#timeOf(call)));
    return before !== undefined;
  }

  async scan(): Promise<BeScan> {
    throw tooPlain('gives no list of what it has');
  }

  /** It knows of no keyring, so there is nothing to tell it. */
  async greet(): Promise<void> {}

  async info(call: BeCall = {}): Promise<Record<string, unknown>> {
    await this.#noting(this.#link.probe(this.#timeOf(call)));
    return { ok: true };
  }

  close(): void {
    this.#link.close();
  }

  #timeOf({ timeoutMs }: BeCall): number {
    return timeoutMs ?? this.#timeoutMs;
  }

  async #retrieve(key: Buffer, call: BeCall): Promise<Buffer | undefined> {
    const asked = this.#link.retrieve(key.toString('hex'), this.#timeOf(call));
    const text = await this.#noting(asked);
    return text === undefined ? undefined : Buffer.from(text, 'hex');
  }

  /** The last call's outcome is all that is known of the back end. */
  async #noting<T>(call: Promise<T>): Promise<T> {
    try {
      const answer = await call;
      this.connected = true;
      this.lastError = undefined;
      return answer;
    } catch (thrown) {
      this.lastError = toEncServerError(thrown);
      this.connected = false;
      throw this.lastError;
    }
  }
}

/** Format byte ‖ u16 length of the head ‖ head ‖ body. */
function encodeValue({ head, body }: Value): Buffer {
  const start = Buffer.alloc(HEAD_AT);
  start[0] = FORMAT;
  start.writeUInt16BE(head.length, 1);
  return Buffer.concat([start, head, body]);
}

function decodeValue(bytes: Buffer): StoredValue & { readonly body: Buffer } {
  const bodyAt = bytes.length < HEAD_AT ? 0 : HEAD_AT + bytes.readUInt16BE(1);
  if (bytes[0] !== FORMAT || bodyAt > bytes.length) {
    throw new EncServerError('ALTERED', 'what the back end has there is no record of ours');
  }
  const body = bytes.subarray(bodyAt);
  const head = bytes.subarray(HEAD_AT, bodyAt);
  return { head, body, bodyBytes: body.length, expiryMs: 0, revision: revisionOf(bytes) };
}

/** Each sealing has its own nonce, so each write has a different revision. */
function revisionOf(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, REVISION_BYTES);
}

function refuseConditions(condition: Condition | undefined): void {
  if (condition !== undefined && condition.kind !== 'always') throw tooPlain('takes no conditions');
}

function tooPlain(words: string): EncServerError {
  const hint = 'that takes a back end of this program: beClientConfigs.dialect frames';
  return new EncServerError('UNKNOWN_FIELD', `the back end ${words}`, { hint });
}
