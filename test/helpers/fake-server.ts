/** A server that speaks frames and does what the test's script says. */
import { createServer, type Socket } from 'node:net';
import type { EncServerError } from '../../lib/errors.ts';
import { encodeErrorReply } from '../../lib/protocol/error-reply.ts';
import type { FieldEntry } from '../../lib/protocol/fields.ts';
import { encodeReply, encodeRequest, type Frame, FrameDecoder } from '../../lib/protocol/frame.ts';
import { FRAME_BYTES_CEILING } from '../../lib/protocol/limits.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';

/** One connection, as the script sees it. */
export class FakePeer {
  readonly socket: Socket;
  /** Its number, from 1. */
  readonly number: number;

  constructor(socket: Socket, number: number) {
    this.socket = socket;
    this.number = number;
  }

  reply(request: Frame, fields: readonly FieldEntry[] = [], body?: Buffer): void {
    for (const part of encodeReply(0, request.requestId, fields, body)) this.socket.write(part);
  }

  /** `requestId` 0 is against the whole connection. */
  refuse(requestId: number, error: EncServerError): void {
    for (const part of encodeErrorReply(requestId, error)) this.socket.write(part);
  }

  goAway(): void {
    for (const part of encodeRequest(OPCODE.GOAWAY, 0, [])) this.socket.write(part);
  }
}

export type Script = (request: Frame, peer: FakePeer) => void;

export class FakeServer {
  /** All requests of all connections, in order. */
  readonly requests: Frame[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#serve(socket));
  readonly #script: Script;
  readonly #greets: boolean;

  private constructor(script: Script, greets: boolean) {
    this.#script = script;
    this.#greets = greets;
  }

  /** With `greets` it answers HELLO by itself, of which the script hears nothing. */
  static async start(script: Script, port = 0, greets = false): Promise<FakeServer> {
    const fake = new FakeServer(script, greets);
    await new Promise<void>((resolve) => fake.#server.listen(port, '127.0.0.1', resolve));
    return fake;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get address() {
    return { host: '127.0.0.1', port: this.port };
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size;
  }

  /** The opcodes of all requests, in order. */
  get opcodes(): number[] {
    return this.requests.map(({ code }) => code);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    const peer = new FakePeer(socket, ++this.connections);
    const decoder = new FrameDecoder(FRAME_BYTES_CEILING);
    socket.on('data', (chunk) => {
      decoder.push(chunk);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        if (this.#greets && frame.code === OPCODE.HELLO) {
          peer.reply(frame);
          continue;
        }
        this.requests.push(frame);
        this.#script(frame, peer);
      }
    });
  }
}
