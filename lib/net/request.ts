import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Caller } from '../access.ts';
import type { Fields } from '../protocol/fields.ts';
import { FIELD } from '../protocol/messages.ts';
import { parseTraceparent, SPAN_ID_BYTES } from '../protocol/traceparent.ts';
import type { Room } from './budget.ts';
import type { Session } from './session.ts';
import type { Operation } from './traffic.ts';

/** Trace IDs need to be unique, not secret: a random half per process and a count. */
const TRACE_PREFIX = randomBytes(8);
let traceCount = 0;

function newAbort(): AbortController {
  const abort = new AbortController();
  // A batch asks for many records at once; Node would take eleven of them for a leak.
  setMaxListeners(0, abort.signal);
  return abort;
}

function nextTrace(): Buffer {
  const trace = Buffer.allocUnsafe(16);
  TRACE_PREFIX.copy(trace, 0);
  traceCount++;
  trace.writeUInt32BE(Math.floor(traceCount / 2 ** 32), 8);
  trace.writeUInt32BE(traceCount % 2 ** 32, 12);
  return trace;
}

/** What a log line says of the trace that a request belongs to, in hex. */
export interface TraceFields {
  readonly traceId: string;
  /** The span of this server in it; only where the caller named its own. */
  readonly spanId?: string;
  readonly parentSpanId?: string;
}

/** What accompanies one request through all layers, besides its content. */
export class RequestContext {
  /** When nobody waits for the answer any more, on the clock of `performance.now()`, which never steps. */
  deadlineMs: number;
  /** The kind of request, as it is counted. */
  operation: Operation = 'other';
  /** When it came, on the clock of `performance.now()`. */
  readonly sinceMs = performance.now();
  /** Room of the budget that the request has until it is answered. */
  room: Room | undefined;
  /** The request on whose behalf this one is made, where the server asks itself. */
  readonly cause: RequestContext | undefined;
  readonly #session: Session;
  readonly #timeoutMs: number;
  #caller: Caller;
  #trace: Buffer | undefined;
  /** The caller's span, as the field SPAN has it. */
  #parentSpan: Buffer | undefined;
  #span: Buffer | undefined;
  #abort: AbortController | undefined;
  #cancelled = false;

  constructor(session: Session, timeoutMs: number, room?: Room, cause?: RequestContext) {
    this.cause = cause;
    this.#session = session;
    this.#caller = session.caller;
    this.#timeoutMs = timeoutMs;
    this.deadlineMs = performance.now() + timeoutMs;
    this.room = room;
  }

  /** The caller. */
  get caller(): Caller {
    return this.#caller;
  }

  /** The address it came from; empty where the server asks itself. */
  get address(): string {
    return this.#session.peer.address;
  }

  /**
   * Takes a token: for this request alone, or, if the request is a greeting, for the whole
   * connection.
   *
   * @throws EncServerError `UNAUTHENTICATED`, `RATE_LIMITED`
   */
  authenticate(token: Buffer, greets: boolean): void {
    if (greets) this.#session.authenticate(token);
    this.#caller = greets ? this.#session.caller : this.#session.identify(token);
  }

  /** Call this before the work begins. @throws EncServerError `RATE_LIMITED` */
  admit(): void {
    this.#session.admit(this.#caller);
  }

  noteWrongKey(): void {
    this.#session.noteWrongKey(this.#caller);
  }

  /**
   * Adopts what the caller said of itself: its token, its trace, how long it waits. The token of a
   * request that greets is the connection's from then on.
   *
   * @throws EncServerError `UNAUTHENTICATED`, `RATE_LIMITED`
   */
  adopt(fields: Fields, greets = false): void {
    const token = fields.bytes(FIELD.TOKEN);
    if (token !== undefined) this.authenticate(token, greets);
    this.admit();
    this.#trace = fields.bytes(FIELD.TRACE);
    // A span means nothing without its trace.
    this.#parentSpan = this.#trace && fields.bytes(FIELD.SPAN);
    const timeoutMs = fields.u32(FIELD.TIMEOUT);
    if (timeoutMs !== undefined) {
      this.deadlineMs = Math.min(this.deadlineMs, performance.now() + timeoutMs);
    }
  }

  /** Trace ID of 16 bytes (W3C Trace Context, trace-id); drawn where the caller sent none. */
  get trace(): Buffer {
    this.#trace ??= nextTrace();
    return this.#trace;
  }

  /** Adopts the header `traceparent`, if there is one and it is valid. */
  follow(traceparent: string | undefined): void {
    if (traceparent === undefined) return;
    const parent = parseTraceparent(traceparent);
    this.#trace = parent?.trace;
    this.#parentSpan = parent?.span;
  }

  /** Makes this a part of the trace of another request. */
  joinTrace(other: RequestContext): void {
    this.#trace = other.trace;
    this.#parentSpan = other.#parentSpan;
    this.#span = other.span;
  }

  /**
   * The span of this request, as the field SPAN has it, for the server that is asked next.
   * Undefined where the caller sent none, so that callers that do not trace pay nothing.
   */
  get span(): Buffer | undefined {
    if (this.#parentSpan === undefined) return undefined;
    this.#span ??= Buffer.concat([
      randomBytes(SPAN_ID_BYTES),
      this.#parentSpan.subarray(SPAN_ID_BYTES),
    ]);
    return this.#span;
  }

  /** The trace as a log line has it. */
  get traceFields(): TraceFields {
    const traceId = this.trace.toString('hex');
    const { span } = this;
    if (span === undefined) return { traceId };
    const hexOf = (bytes: Buffer | undefined) => bytes?.toString('hex', 0, SPAN_ID_BYTES) ?? '';
    return { traceId, spanId: hexOf(span), parentSpanId: hexOf(this.#parentSpan) };
  }

  get remainingMs(): number {
    return this.deadlineMs - performance.now();
  }

  /** Aborted by {@link cancel}. Made on first use: most requests need none. */
  get signal(): AbortSignal {
    this.#abort ??= newAbort();
    if (this.#cancelled) this.#abort.abort();
    return this.#abort.signal;
  }

  /** What the request brings took its own time to arrive: its time to be answered starts now. */
  arrived(): void {
    this.deadlineMs = performance.now() + this.#timeoutMs;
  }

  /** Gives the room of the request back, if it still has any. */
  giveBack(): void {
    this.room?.budget.release(this.room.bytes);
    this.room = undefined;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#abort?.abort();
  }
}
