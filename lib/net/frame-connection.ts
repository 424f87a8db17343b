/** The server's side of a connection that speaks binary frames: many requests at once. */
import type { Socket } from 'node:net';
import { EncServerError } from '../errors.ts';
import { encodeErrorReply } from '../protocol/error-reply.ts';
import { type FieldEntry, Fields } from '../protocol/fields.ts';
import { encodeReply, encodeRequest, type Frame, FrameDecoder } from '../protocol/frame.ts';
import { SMALL_REQUEST_BYTES_MAX } from '../protocol/limits.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import { TransientMap } from '../transient.ts';
import type { Room } from './budget.ts';
import { Connection, type ConnectionHost } from './connection.ts';
import { closing } from './refusals.ts';
import { RequestContext } from './request.ts';
import { logRequest } from './request-log.ts';
import { type Operation, type Outcome, operationOf } from './traffic.ts';

/** What each opcode is counted and logged as. */
const OPERATION_OF: Readonly<Record<number, Operation>> = Object.fromEntries(
  Object.entries(OPCODE).map(([name, code]) => [code, operationOf(name)]),
);

/** The answer to a request. */
export interface Reply {
  readonly fields: readonly FieldEntry[];
  readonly body?: Buffer;
}

/** Translates frames into calls of a service. One is made per connection, and may keep state. */
export interface FrameSurface {
  /**
   * Throws, or rejects with, {@link EncServerError}; anything else is answered as `INTERNAL`. Not
   * itself `async` where it only passes a promise on: every `async` layer costs every request.
   */
  handle(frame: Frame, context: RequestContext): Reply | Promise<Reply>;
  /** Told once the connection is gone. */
  closed?(): void;
}

export class FrameConnection extends Connection {
  readonly #decoder: FrameDecoder;
  readonly #surface: FrameSurface;
  /** By request ID. */
  readonly #underWay = new TransientMap<number, RequestContext>();

  constructor(socket: Socket, host: ConnectionHost, surface: FrameSurface) {
    super(socket, host);
    this.#decoder = new FrameDecoder(host.limits.frameBytesMax);
    this.#surface = surface;
    socket.once('close', () => surface.closed?.());
  }

  protected override get underWay(): number {
    return this.#underWay.size;
  }

  protected override get receiving(): boolean {
    return this.#decoder.bufferedBytes > 0;
  }

  protected override hasRoom(): boolean {
    return this.#underWay.size < this.host.limits.requestsPerConnectionMax;
  }

  protected override push(chunk: Buffer): void {
    this.#decoder.push(chunk);
  }

  protected override advance(): void {
    while (this.canRead()) {
      const length = this.#decoder.nextLength();
      if (length === undefined) return;
      // Room for a large frame is reserved before the rest of it is read. A small one has room once
      // it is here, so that small ones that never come take none from those that do.
      const isDue = length > SMALL_REQUEST_BYTES_MAX || this.#decoder.isWhole;
      if (isDue && this.receivingBytes === 0 && !this.reserve(length)) return;
      const frame = this.#decoder.next();
      if (frame === undefined) return;
      this.#dispatch(frame);
    }
  }

  protected override finishInput(): void {
    if (this.#decoder.bufferedBytes === 0) return;
    throw new EncServerError('BAD_FRAME', 'the connection ended inside a frame');
  }

  protected override farewell(error: EncServerError): Buffer[] {
    return encodeErrorReply(0, error);
  }

  protected override goodbye(): Buffer[] {
    return encodeRequest(OPCODE.GOAWAY, 0, [], Buffer.from('the server is closing'));
  }

  protected override get awaitsPeer(): boolean {
    return !this.inputEnded;
  }

  protected override cancelAll(): void {
    for (const context of this.#underWay.values()) context.cancel();
  }

  #dispatch(frame: Frame): void {
    this.#checkHeader(frame);
    const room = this.takeRoom();
    if (frame.code === OPCODE.CANCEL) {
      this.#cancel(frame, room);
    } else if (this.draining) {
      const operation = OPERATION_OF[frame.code] ?? 'other';
      this.host.traffic.note('frames', operation, 'GOAWAY', performance.now());
      this.#refuse(frame, room, closing());
    } else {
      const context = new RequestContext(this.session, this.host.limits.requestTimeoutMs, room);
      this.#underWay.set(frame.requestId, context);
      void this.#serve(frame, context);
    }
  }

  async #serve(frame: Frame, context: RequestContext): Promise<void> {
    const { requestId } = frame;
    const { room } = context;
    const { traffic } = this.host;
    let answer: Buffer[];
    let outcome: Outcome = 'ok';
    // If too many requests are under way, `begin` throws without counting.
    let isLetIn = false;
    try {
      traffic.begin();
      isLetIn = true;
      const { fields, body } = await this.#surface.handle(frame, context);
      answer = encodeReply(0, requestId, fields, body);
    } catch (thrown) {
      const error = this.explain(thrown, context);
      outcome = error.code;
      answer = encodeErrorReply(requestId, error);
    }
    if (isLetIn) traffic.end();
    const operation = OPERATION_OF[frame.code] ?? 'other';
    const { sinceMs } = context;
    traffic.note('frames', operation, outcome, sinceMs);
    logRequest(this.host.log, { dialect: 'frames', operation, outcome, sinceMs, context });
    this.#underWay.delete(requestId);
    if (!this.socket.destroyed) this.send(answer);
    this.giveBack(room);
  }

  /** Gets no reply, unless it could not be read. */
  #cancel(frame: Frame, room: Room | undefined): void {
    try {
      const target = Fields.decode(frame.fieldBytes, [FIELD.TARGET]).requireU32(FIELD.TARGET);
      this.#underWay.get(target)?.cancel();
      this.giveBack(room);
    } catch (thrown) {
      this.#refuse(frame, room, thrown as EncServerError);
    }
  }

  #refuse(frame: Frame, room: Room | undefined, error: EncServerError): void {
    this.send(encodeErrorReply(frame.requestId, error));
    this.giveBack(room);
  }

  #checkHeader(frame: Frame): void {
    if (frame.reply || frame.requestId === 0) {
      throw new EncServerError('BAD_FRAME', 'a request has an ID above 0 and no reply flag');
    }
    if (this.#underWay.has(frame.requestId)) {
      throw new EncServerError('DUPLICATE_REQUEST_ID', 'the request ID is in use');
    }
  }
}
