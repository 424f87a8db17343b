/** A client's connection: many requests at once, made on demand, and again after it broke. */
import { EncServerError, toEncServerError } from '../errors.ts';
import { decodeError } from '../protocol/error-reply.ts';
import { type FieldEntry, Fields, u32Field } from '../protocol/fields.ts';
import { encodeRequest, type Frame } from '../protocol/frame.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import { Backoff } from './backoff.ts';
import { Deadlines } from './deadlines.ts';
import { type Address, FrameSocket } from './frame-socket.ts';
import type { LaneState } from './lane-state.ts';
import {
  type Answer,
  encodePending,
  lostAnswer,
  noAnswer,
  type Pending,
  PendingTable,
  type Request,
  unreachable,
} from './pending.ts';
import type { TlsClientFiles } from './tls-files.ts';

export type { Address } from './frame-socket.ts';
export type { Answer, Request } from './pending.ts';

export interface LaneOptions {
  readonly address: Address;
  /** Calls over TLS if given. */
  readonly tls?: TlsClientFiles | undefined;
  readonly frameBytesMax: number;
  readonly connectTimeoutMs: number;
  /** What a connection begins with, where it begins with HELLO. Called at every connect. */
  readonly hello?: () => Promise<readonly FieldEntry[]>;
  /** Reconnects by itself, even when no request waits. */
  readonly stayConnected: boolean;
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #pending = new PendingTable();
  readonly #backoff: Backoff;
  readonly #deadlines: Deadlines;
  /** One listener for all requests. */
  readonly #aborted = (pending: Pending) =>
    this.#abandon(pending, new EncServerError('CANCELLED', 'the request was cancelled'));
  #state: LaneState = 'idle';
  #isClosing = false;
  #leavesEarly = false;
  #socket: FrameSocket | undefined;
  #lastError: EncServerError | undefined;
  /** The longest record that the server takes, as it said in HELLO, in bytes. */
  #recordBytesMax = Number.POSITIVE_INFINITY;
  /** What the server reported against the whole connection. */
  #refusal: EncServerError | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.stayConnected ? () => this.#connectWhenIdle() : undefined);
    this.#deadlines = new Deadlines(this.#pending, options.connectTimeoutMs / 2, {
      over: (pending) => this.#abandon(pending, noAnswer(pending)),
      // The server may be gone without notice: connect anew.
      silent: () => this.#socket?.destroy(),
    });
    if (options.stayConnected) this.#connectWhenIdle();
  }

  get ready(): boolean {
    return this.#state === 'ready';
  }

  /** Whether the server takes nothing new on this connection, which is only answered to its end. */
  get leaving(): boolean {
    return this.#state === 'leaving';
  }

  /** Whether a request would be sent now or soon, rather than refused. */
  get usable(): boolean {
    if (this.#state === 'idle') return this.#backoff.isDue;
    return this.#state === 'ready' || this.#state === 'connecting';
  }

  /** Requests whose callers wait. */
  get underWay(): number {
    return this.#pending.waiting;
  }

  /** Why the last connection failed; undefined while all is well. */
  get lastError(): EncServerError | undefined {
    return this.#lastError;
  }

  /**
   * Sends one request. Rejects with the server's error; `UNAVAILABLE` when it was not sent, or
   * is a read whose answer was lost; `UNKNOWN_OUTCOME` when it is a write whose answer was lost;
   * `TIMEOUT`; `CANCELLED`.
   */
  request(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusalOf(request);
      if (refusal !== undefined) {
        reject(refusal);
        return;
      }
      const pending = this.#pending.add(request, resolve, reject, this.#aborted);
      this.#deadlines.watch();
      if (this.#state === 'ready') this.#send(pending);
    });
  }

  /** Ends the connection once everything is answered; later requests are refused. */
  close(): void {
    this.#backoff.stop();
    this.#isClosing = true;
    // Requests waiting for the connection are still sent.
    if (this.#state === 'connecting' && this.#pending.hasUnsent) return;
    const opened = this.#state === 'ready' || this.#state === 'leaving';
    this.#state = 'closed';
    this.#endWhenIdle();
    if (opened) return;
    this.#socket?.destroy();
    this.#rejectAll(undefined);
  }

  /** Begins to connect, if that is due. */
  connect(): void {
    if (this.#state === 'idle' && this.#backoff.isDue) this.#connectWhenIdle();
  }

  /** Why a request cannot even be queued. Connects if that is due. */
  #refusalOf({ signal, deadlineMs }: Request): EncServerError | undefined {
    if (signal?.aborted) return new EncServerError('CANCELLED', 'the request was cancelled');
    if (deadlineMs <= performance.now())
      return new EncServerError('TIMEOUT', 'there was no time left');
    this.connect();
    const takes = this.#state === 'ready' || this.#state === 'connecting';
    return takes && !this.#isClosing ? undefined : this.#unavailable();
  }

  #unavailable(): EncServerError {
    const last = this.#lastError;
    // The server's own refusal, such as another keyring, says more than "unavailable".
    if (last !== undefined) return new EncServerError(last.code, last.message, { hint: last.hint });
    return unreachable(this.#options.address, 'not connected');
  }

  #connectWhenIdle(): void {
    if (this.#state !== 'idle') return;
    try {
      this.#open();
    } catch (thrown) {
      // The TLS files cannot be read; they may be there next time.
      this.#lost(toEncServerError(thrown));
    }
  }

  #open(): void {
    this.#state = 'connecting';
    this.#leavesEarly = false;
    this.#refusal = undefined;
    const { address, tls, frameBytesMax, connectTimeoutMs } = this.#options;
    const greet = async () => {
      try {
        await this.#greet(socket);
        clearTimeout(timer);
        this.#becomeReady(socket);
      } catch (thrown) {
        socket.destroy(toEncServerError(thrown));
      }
    };
    const socket = new FrameSocket(address, tls, frameBytesMax, {
      connected: () => void greet(),
      heard: () => this.#deadlines.heard(),
      frame: (frame) => this.#received(frame),
      closed: (failure) => {
        clearTimeout(timer);
        if (failure === undefined || failure instanceof EncServerError) this.#lost(failure);
        else this.#lost(unreachable(this.#options.address, failure.code ?? failure.message));
      },
    });
    const timer = setTimeout(() => {
      socket.destroy(unreachable(this.#options.address, 'no answer'));
    }, connectTimeoutMs);
    this.#socket = socket;
  }

  /** Sends HELLO if there is one, and waits for its answer. */
  async #greet(socket: FrameSocket): Promise<void> {
    const fields = await this.#options.hello?.();
    if (fields === undefined || socket.destroyed) return;
    const answer = await new Promise<Answer>((resolve, reject) => {
      const deadlineMs = Number.POSITIVE_INFINITY;
      const request = { opcode: OPCODE.HELLO, fields, writes: false, deadlineMs };
      this.#send(this.#pending.add(request, resolve, reject, () => undefined));
    });
    const recordBytesMax = answer.fields.u32(FIELD.RECORD_BYTES_MAX);
    this.#recordBytesMax = recordBytesMax ?? Number.POSITIVE_INFINITY;
  }

  #becomeReady(socket: FrameSocket): void {
    if (socket.destroyed || this.#state !== 'connecting') return;
    this.#state = this.#leavesEarly ? 'leaving' : 'ready';
    this.#backoff.ready();
    this.#lastError = undefined;
    for (const pending of this.#pending.all()) {
      if (!this.#leavesEarly) this.#send(pending);
      else this.#reject(pending, unreachable(this.#options.address, 'the server is closing'));
    }
    this.#endWhenIdle();
    if (this.#isClosing) this.close();
  }

  #send(pending: Pending): void {
    pending.sentAtMs = performance.now();
    try {
      this.#socket?.write(encodePending(pending, this.#recordBytesMax));
    } catch (thrown) {
      // No frame can hold it.
      this.#reject(pending, toEncServerError(thrown));
    }
  }

  #received(frame: Frame): void {
    if (frame.reply && frame.requestId !== 0) this.#answered(frame);
    else if (frame.reply || frame.code === OPCODE.GOAWAY) this.#leave(frame);
  }

  #answered(frame: Frame): void {
    const pending = this.#pending.get(frame.requestId);
    if (pending === undefined) throw new EncServerError('BAD_FRAME', 'a reply to no request');
    const error = frame.code === 0 ? undefined : decodeError(frame);
    const fields = Fields.decode(frame.fieldBytes);
    this.#delete(pending);
    // Nobody waits for an abandoned request.
    if (error === undefined) pending.resolve({ fields, body: frame.body });
    else pending.reject(error);
    this.#endWhenIdle();
  }

  /** The server closes: it gets no new requests, but still answers those under way. */
  #leave(frame: Frame): void {
    if (frame.reply) this.#refusal = decodeError(frame);
    // Before HELLO is answered, the requests that wait for it would be refused, too.
    if (this.#state === 'connecting') this.#leavesEarly = true;
    if (this.#state !== 'ready') return;
    this.#state = 'leaving';
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    const isEnding = this.#state === 'leaving' || this.#state === 'closed';
    if (isEnding && this.#pending.waiting === 0) this.#socket?.end();
  }

  #lost(failure: EncServerError | undefined): void {
    this.#socket = undefined;
    const wasConnecting = this.#state === 'connecting';
    const refusal = this.#refusal ?? failure ?? unreachable(this.#options.address, 'closed');
    this.#lastError = wasConnecting ? refusal : undefined;
    this.#state = this.#isClosing ? 'closed' : 'idle';
    if (!this.#isClosing) this.#backoff.lost(wasConnecting);
    this.#rejectAll(failure);
  }

  #rejectAll(failure: EncServerError | undefined): void {
    // An error against the connection is passed to the only waiting request, which must have caused
    // it; to several only where it says that nothing was executed.
    const isAlone = this.#pending.waiting === 1;
    const isForAll = isAlone || this.#refusal?.row.retry === 'always';
    const refusal = isForAll ? this.#refusal : undefined;
    for (const pending of this.#pending.all()) {
      const error = lostAnswer(pending, refusal, isAlone ? failure : undefined);
      this.#reject(pending, error ?? this.#unavailable());
    }
  }

  #reject(pending: Pending, error: EncServerError): void {
    this.#delete(pending);
    pending.reject(error);
  }

  #delete(pending: Pending): void {
    this.#pending.delete(pending);
    this.#deadlines.stopWhenIdle();
  }

  /** Answers the caller now, and tells the server that nobody waits. */
  #abandon(pending: Pending, error: EncServerError): void {
    this.#pending.abandon(pending, error);
    if (pending.sentAtMs > 0) {
      const target = u32Field(FIELD.TARGET, pending.id);
      this.#socket?.write(encodeRequest(OPCODE.CANCEL, this.#pending.freeId(), [target]));
    } else {
      this.#pending.delete(pending);
    }
    this.#deadlines.stopWhenIdle();
    this.#endWhenIdle();
    // Nobody waits for the connection any more.
    if (this.#isClosing && this.#state === 'connecting') this.close();
  }
}
