/** The server's side of a connection that speaks text lines: one request at a time, in order. */
import type { Socket } from 'node:net';
import type { EncServerError } from '../errors.ts';
import { SMALL_REQUEST_BYTES_MAX } from '../protocol/limits.ts';
import { errorLine, LineDecoder, VERB_BYTES_MAX } from '../protocol/text.ts';
import { Connection, type ConnectionHost } from './connection.ts';
import { closing } from './refusals.ts';
import { RequestContext } from './request.ts';
import { logRequest } from './request-log.ts';
import { type Outcome, operationOf } from './traffic.ts';

/** Translates lines into calls of a service. One is made per connection. */
export interface TextSurface {
  /** Resolves to the reply line with its LF, or to undefined to close the connection. */
  handle(line: Buffer, context: RequestContext): Promise<Buffer | undefined>;
}

export class TextConnection extends Connection {
  readonly #decoder: LineDecoder;
  readonly #surface: TextSurface;
  /** A whole line that waits for its room. */
  #line: Buffer | undefined;
  #current: RequestContext | undefined;

  constructor(socket: Socket, host: ConnectionHost, surface: TextSurface) {
    super(socket, host);
    this.#decoder = new LineDecoder(host.limits.lineBytesMax);
    this.#surface = surface;
  }

  protected override get underWay(): number {
    return this.#current === undefined ? 0 : 1;
  }

  protected override get receiving(): boolean {
    if (this.#current !== undefined) return false;
    return this.#line !== undefined || this.#decoder.bufferedBytes > 0;
  }

  protected override hasRoom(): boolean {
    return this.#current === undefined;
  }

  protected override push(chunk: Buffer): void {
    this.#decoder.push(chunk);
  }

  protected override advance(): void {
    while (this.canRead()) {
      this.#line ??= this.#decoder.next() ?? (this.inputEnded ? this.#decoder.end() : undefined);
      const wantedBytes = this.#wantedBytes() - this.receivingBytes;
      if (wantedBytes > 0 && !this.reserve(wantedBytes)) return;
      if (this.#line === undefined) return;
      this.#dispatch(this.#line);
    }
  }

  protected override finishInput(): void {
    // The rest before the end counted as a line, so nothing is left over.
  }

  protected override farewell(error: EncServerError): Buffer[] {
    return [errorLine(error)];
  }

  protected override goodbye(): Buffer[] {
    return [];
  }

  /** A line that has begun to arrive is still refused with a reply. */
  protected override get awaitsPeer(): boolean {
    return this.receiving;
  }

  protected override cancelAll(): void {
    this.#current?.cancel();
  }

  /**
   * A line does not announce its length. While it may be a small one it is read as it comes; before
   * more is read, room for the longest line is reserved at once. If it were reserved step by step,
   * several long lines could each hold what the others wait for.
   */
  #wantedBytes(): number {
    if (this.#line !== undefined) return this.#line.length;
    return this.#decoder.bufferedBytes > SMALL_REQUEST_BYTES_MAX
      ? this.host.limits.lineBytesMax
      : 0;
  }

  #dispatch(line: Buffer): void {
    this.#line = undefined;
    // Gives back what this line did not need of the room for the longest one.
    const room = this.takeRoom(line.length);
    const context = new RequestContext(this.session, this.host.limits.requestTimeoutMs, room);
    this.#current = context;
    void this.#serve(line, context);
  }

  async #serve(line: Buffer, context: RequestContext): Promise<void> {
    const { traffic } = this.host;
    let answer: Buffer | undefined;
    let outcome: Outcome = 'ok';
    let isLetIn = false;
    try {
      if (this.draining) throw closing();
      traffic.begin();
      isLetIn = true;
      context.admit();
      answer = await this.#surface.handle(line, context);
    } catch (thrown) {
      const error = this.explain(thrown, context);
      outcome = error.code;
      // A line that could not be read completely still names its operation.
      if (context.operation === 'other') context.operation = operationOf(verbOf(line));
      answer = errorLine(error);
    }
    if (isLetIn) traffic.end();
    const { operation, sinceMs } = context;
    traffic.note('text', operation, outcome, sinceMs);
    logRequest(this.host.log, { dialect: 'text', operation, outcome, sinceMs, context });
    this.#current = undefined;
    if (answer === undefined) this.quit();
    this.giveBack(context.room);
    if (answer === undefined || this.socket.destroyed) return;
    this.send([answer]);
    this.proceed();
  }
}

/** The first word of a line, if it can be a verb. */
function verbOf(line: Buffer): string | undefined {
  return line.toString('latin1', 0, VERB_BYTES_MAX).split(/\s/, 1)[0];
}
