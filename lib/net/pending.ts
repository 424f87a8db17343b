/** The requests of one connection that are not answered yet, by their IDs. */
import { EncServerError } from '../errors.ts';
import { type FieldEntry, type Fields, u32Field } from '../protocol/fields.ts';
import { encodeRequest } from '../protocol/frame.ts';
import { FRAME_OVERHEAD_BYTES } from '../protocol/limits.ts';
import { FIELD } from '../protocol/messages.ts';
import { TransientMap } from '../transient.ts';
import type { Address } from './frame-socket.ts';

/** One request as a lane sends it. */
export interface Request {
  readonly opcode: number;
  readonly fields: readonly FieldEntry[];
  readonly body?: Buffer | undefined;
  /** Whether it changes anything, so that a lost answer leaves the outcome unknown. */
  readonly writes: boolean;
  /** In milliseconds, on the clock of `performance.now()`. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly fields: Fields;
  readonly body: Buffer;
}

export interface Pending {
  readonly id: number;
  readonly request: Request;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: EncServerError) => void;
  /** When it was handed to the socket, on the same clock; 0 until then. */
  sentAtMs: number;
  /** Nobody waits any more; the ID stays in use until the reply comes. */
  abandoned: boolean;
  onAbort: (() => void) | undefined;
}

const U32_MAX = 0xffff_ffff;

export class PendingTable {
  readonly #byId = new TransientMap<number, Pending>();
  #lastId = 0;
  #waiting = 0;

  /** Requests whose callers wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether a request waits for its connection. */
  get hasUnsent(): boolean {
    return this.all().some(({ sentAtMs }) => sentAtMs === 0);
  }

  all(): Pending[] {
    return [...this.#byId.values()];
  }

  get(id: number): Pending | undefined {
    return this.#byId.get(id);
  }

  /** An ID that is not in use. */
  freeId(): number {
    do {
      this.#lastId = this.#lastId >= U32_MAX ? 1 : this.#lastId + 1;
    } while (this.#byId.has(this.#lastId));
    return this.#lastId;
  }

  /** `aborted` is called when the caller cancels the request. */
  add(
    request: Request,
    resolve: Pending['resolve'],
    reject: Pending['reject'],
    aborted: (pending: Pending) => void,
  ): Pending {
    const onAbort = request.signal && (() => aborted(pending));
    const pending: Pending = {
      id: this.freeId(),
      request,
      resolve,
      reject,
      sentAtMs: 0,
      abandoned: false,
      onAbort,
    };
    if (onAbort) request.signal?.addEventListener('abort', onAbort, { once: true });
    this.#byId.set(pending.id, pending);
    this.#waiting++;
    return pending;
  }

  delete(pending: Pending): void {
    this.#byId.delete(pending.id);
    this.#forget(pending);
  }

  /** Answers the caller now. */
  abandon(pending: Pending, error: EncServerError): void {
    this.#forget(pending);
    pending.reject(error);
  }

  #forget(pending: Pending): void {
    if (pending.abandoned) return;
    pending.abandoned = true;
    this.#waiting--;
    if (pending.onAbort) pending.request.signal?.removeEventListener('abort', pending.onAbort);
  }
}

/** What a request becomes that was not sent. */
export function unreachable({ host, port }: Address, reason: string): EncServerError {
  return new EncServerError('UNAVAILABLE', `cannot reach ${host}:${port} (${reason})`);
}

/** The error for a request that got no answer in time. */
export function noAnswer({ request, sentAtMs }: Pending): EncServerError {
  const code = request.writes && sentAtMs > 0 ? 'UNKNOWN_OUTCOME' : 'TIMEOUT';
  return new EncServerError(code, 'no answer within the time allowed');
}

/**
 * The error for a request whose connection is gone; undefined if it was never sent, or only reads.
 * `refusal` is what the server reported against the connection, where it applies to this request
 * too; `failure` is what broke the connection, where only this request can have caused it.
 */
export function lostAnswer(
  { request, sentAtMs }: Pending,
  refusal: EncServerError | undefined,
  failure: EncServerError | undefined,
): EncServerError | undefined {
  if (sentAtMs === 0) return undefined;
  if (refusal !== undefined || !request.writes) return refusal ?? failure;
  return new EncServerError('UNKNOWN_OUTCOME', 'the connection broke before the answer');
}

/** More than any request has besides its body: the header, and the fields of a PUT. In bytes. */
const FIELDS_BYTES_MAX = 16 * 1024;

/** The longest body that a server takes: a sealed record is a little longer than the record. */
export function bodyBytesMax(recordBytesMax: number): number {
  return recordBytesMax + FRAME_OVERHEAD_BYTES - FIELDS_BYTES_MAX;
}

/**
 * The frame of a request that is sent now, with its remaining time.
 *
 * @param recordBytesMax the longest record that the server takes
 * @throws EncServerError as `encodeRequest`; `RECORD_TOO_LARGE` if it is too long for the server, which
 *   would close the connection for all
 */
export function encodePending(
  { id, request, sentAtMs }: Pending,
  recordBytesMax: number,
): Buffer[] {
  const { opcode, fields, body, deadlineMs } = request;
  if (body !== undefined && body.length > bodyBytesMax(recordBytesMax)) {
    const words = `the server takes records of at most ${recordBytesMax} bytes`;
    throw new EncServerError('RECORD_TOO_LARGE', words);
  }
  const timeoutMs = Math.floor(deadlineMs - sentAtMs);
  const isBounded = timeoutMs >= 0 && timeoutMs <= U32_MAX;
  const all = isBounded ? [...fields, u32Field(FIELD.TIMEOUT, timeoutMs)] : fields;
  return encodeRequest(opcode, id, all, body);
}
