/**
 * One gRPC call: its caller, the room that it holds, its timeouts, and how it ended. It sits
 * between grpc-js and the handler as an interceptor, because nothing of a message is read before
 * the interceptor lets the call's metadata through.
 *
 * What is bounded: while a message arrives, room for the longest one is held, since its length is
 * not known in advance; afterwards as much as it has, and its answer, until the call is over. Of a
 * call that waits for room, HTTP/2's flow control lets 64 KiB in, which are not counted.
 */
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerListener,
} from '@grpc/grpc-js';
import type { Peer } from '../access.ts';
import { EncServerError, toEncServerError } from '../errors.ts';
import type { TransientSet } from '../transient.ts';
import type { ConnectionHost } from './connection.ts';
import { errorOfBare, type GrpcStatus, isBare, statusOf } from './grpc-status.ts';
import { bearerTokenOf } from './http-session.ts';
import { type Arrival, roomToArrive } from './receiving-room.ts';
import { closing } from './refusals.ts';
import { RequestContext } from './request.ts';
import { logRequest } from './request-log.ts';
import { Session } from './session.ts';
import type { Slots } from './slots.ts';
import type { Operation, Outcome } from './traffic.ts';

/** What the calls of one connection share. */
export interface GrpcConnection {
  readonly peer: Peer;
  /** Messages that it may be sending at once. */
  readonly receiving: Slots;
  /** Calls that are not over. */
  readonly underWay: TransientSet<GrpcCall>;
  /** Bytes that its client has taken. */
  sentBytes(): number;
  cut(): void;
}

/** What is known of a method besides its messages. */
export interface GrpcMethodFacts {
  readonly operation: Operation;
  /** Answers anyone, whatever else is under way, and for as long as it takes. Its message is small. */
  readonly isProbe: boolean;
}

/** The calls, by the metadata that their handlers get. */
const CALLS = new WeakMap<Metadata, GrpcCall>();

export class GrpcCall {
  readonly #host: ConnectionHost;
  readonly #connection: GrpcConnection;
  readonly #facts: GrpcMethodFacts;
  readonly #call: ServerInterceptingCallInterface;
  readonly #sinceMs = performance.now();
  #context: RequestContext | undefined;
  /** The part of the budget that the call holds, in bytes. */
  #heldBytes = 0;
  #arrival: Arrival | undefined;
  #holdsSlot = false;
  #letIn = false;
  #replying = false;
  #over = false;
  #outcome: Outcome | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    host: ConnectionHost,
    connection: GrpcConnection,
    facts: GrpcMethodFacts,
    call: ServerInterceptingCallInterface,
  ) {
    this.#host = host;
    this.#connection = connection;
    this.#facts = facts;
    this.#call = call;
  }

  /** The call that a handler was given. */
  static of(metadata: Metadata): GrpcCall {
    return CALLS.get(metadata) as GrpcCall;
  }

  intercept(): ServerInterceptingCall {
    this.#connection.underWay.add(this);
    const listener: ServerListener = {
      onReceiveMetadata: (metadata, next) => void this.#begin(metadata, next),
      onReceiveMessage: (message, next) => {
        // A message that could not be read is replaced by its error: see grpc-requests.ts.
        if (message instanceof EncServerError) {
          this.#refuse(message);
          return;
        }
        this.#received(message);
        next(message);
      },
      onCancel: () => this.end(),
    };
    this.#nameFailures();
    return new ServerInterceptingCall(this.#call, {
      start: (next) => next(listener),
      sendMessage: (message, next) => {
        this.#replying = true;
        this.#hold(bytesOf(message));
        // A probe may have nothing more to say for hours.
        if (!this.#facts.isProbe) this.#watchSending();
        next(message);
      },
      sendStatus: (status, next) => {
        this.#watchSending();
        next(status);
      },
    });
  }

  /** Runs a handler. Rejects with what grpc-js answers with. */
  async serve<T>(handle: (context: RequestContext) => Promise<T>): Promise<T> {
    try {
      const reply = await handle(this.#context as RequestContext);
      this.#outcome ??= 'ok';
      return reply;
    } catch (thrown) {
      throw this.#failed(thrown);
    }
  }

  /** Aborted when the call is over. */
  get signal(): AbortSignal {
    return (this.#context as RequestContext).signal;
  }

  /** Ends a call that would go on by itself, because the server closes. */
  leave(): void {
    if (this.#facts.isProbe) this.#refuse(closing());
  }

  /**
   * grpc-js answers some calls itself, bypassing every interceptor, but also through this method.
   */
  #nameFailures(): void {
    const send = this.#call.sendStatus.bind(this.#call);
    this.#call.sendStatus = (status) => {
      const isOurs = this.#over || !isBare(status);
      send(isOurs ? status : this.#failed(errorOfBare(status, this.#replying)));
    };
  }

  /** Nothing of the message is read before `next` is called. */
  async #begin(metadata: Metadata, next: (metadata: Metadata) => void): Promise<void> {
    const { limits, budget } = this.#host;
    try {
      const context = this.#admit(metadata);
      this.#context = context;
      await this.#connection.receiving.take(context);
      this.#holdsSlot = true;
      if (!this.#over && !this.#facts.isProbe) {
        this.#arrival = await roomToArrive(budget, limits.frameBytesMax, context);
        this.#heldBytes = limits.frameBytesMax;
      }
    } catch (thrown) {
      this.#refuse(thrown);
      return;
    }
    if (this.#over) {
      this.#giveBack();
      return;
    }
    this.#limit(limits.receiveTimeoutMs, () => {
      this.#refuse(new EncServerError('TIMEOUT', 'the message did not arrive in time'));
    });
    CALLS.set(metadata, this);
    next(metadata);
  }

  /** Identifies the caller, and checks whether another request is let in. @throws EncServerError */
  #admit(metadata: Metadata): RequestContext {
    const { gate, limits, traffic } = this.#host;
    const session = new Session(gate, this.#connection.peer);
    if (this.#facts.isProbe) return new RequestContext(session, limits.requestTimeoutMs);
    const [authorization] = metadata.get('authorization');
    if (authorization !== undefined) {
      session.authenticate(Buffer.from(bearerTokenOf(String(authorization))));
    }
    session.admit(session.caller);
    traffic.begin();
    this.#letIn = true;
    const context = new RequestContext(session, limits.requestTimeoutMs);
    context.operation = this.#facts.operation;
    context.follow(traceparentIn(metadata));
    context.deadlineMs = this.#deadlineMs();
    return context;
  }

  /** When nobody waits any more for an answer that is begun now, on the clock of `performance.now()`. */
  #deadlineMs(): number {
    // The library has it as a time of day.
    const leftMs = Number(this.#call.getDeadline()) - Date.now();
    return performance.now() + Math.min(this.#host.limits.requestTimeoutMs, leftMs);
  }

  /** The message has arrived: from here on its own size is held, not the largest possible one. */
  #received(message: object): void {
    clearTimeout(this.#timer);
    // The message took its own time to arrive.
    if (this.#context !== undefined) this.#context.deadlineMs = this.#deadlineMs();
    const bytes = Math.min(bytesOf(message), this.#heldBytes);
    this.#endArrival();
    this.#host.budget.release(this.#heldBytes - bytes);
    this.#heldBytes = bytes;
  }

  #hold(bytes: number): void {
    if (this.#over) return;
    this.#host.budget.count(bytes);
    this.#heldBytes += bytes;
  }

  /** Answers with an error before any handler ran. */
  #refuse(thrown: unknown): void {
    if (!this.#over) this.#call.sendStatus(this.#failed(thrown));
  }

  #failed(thrown: unknown): GrpcStatus {
    const error = toEncServerError(thrown);
    if (error.code === 'INTERNAL') {
      this.#host.log.error({ err: error, ...this.#context?.traceFields }, 'a request failed');
    }
    this.#outcome ??= error.code;
    return statusOf(error);
  }

  /** Where the client takes nothing any more, the connection is of no use to any of its calls. */
  #watchSending(): void {
    const sentBytes = this.#connection.sentBytes();
    this.#limit(this.#host.limits.sendTimeoutMs, () => {
      if (this.#connection.sentBytes() > sentBytes) {
        this.#watchSending();
        return;
      }
      this.#host.log.info('connection closed: its replies were not taken');
      this.#connection.cut();
    });
  }

  #limit(ms: number, late: () => void): void {
    clearTimeout(this.#timer);
    if (!this.#over) this.#timer = setTimeout(late, ms);
  }

  /** The answer is out, the client cancelled or went away, or the time is over. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#context?.cancel();
    this.#giveBack();
    this.#connection.underWay.delete(this);
    const { traffic } = this.#host;
    if (this.#letIn) traffic.end();
    const isLate = Number(this.#call.getDeadline()) <= Date.now();
    const outcome = this.#outcome ?? (isLate ? 'TIMEOUT' : 'CANCELLED');
    const { operation } = this.#facts;
    traffic.note('grpc', operation, outcome, this.#sinceMs);
    const facts = { operation, outcome, sinceMs: this.#sinceMs, context: this.#context };
    logRequest(this.#host.log, { dialect: 'grpc', ...facts });
  }

  /** The message is there, or will not come: the connection may send another. */
  #endArrival(): void {
    if (this.#holdsSlot) this.#connection.receiving.release();
    this.#holdsSlot = false;
    this.#arrival?.end();
    this.#arrival = undefined;
  }

  #giveBack(): void {
    this.#endArrival();
    this.#host.budget.release(this.#heldBytes);
    this.#heldBytes = 0;
  }
}

/** The value of the header, if there is exactly one. */
function traceparentIn(metadata: Metadata): string | undefined {
  const [first, ...others] = metadata.get('traceparent');
  return typeof first === 'string' && others.length === 0 ? first : undefined;
}

/** The bytes of the strings and bytes of a message. */
function bytesOf(message: object): number {
  let bytes = 0;
  for (const value of Object.values(message)) {
    if (typeof value === 'string' || Buffer.isBuffer(value)) bytes += value.length;
  }
  return bytes;
}
