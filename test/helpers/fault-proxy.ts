/** A TCP proxy that breaks what passes through it, as networks do. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class FaultProxy {
  readonly port: number;
  /** How long each chunk is held back, in milliseconds. */
  delayMs = 0;
  readonly #target: () => { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #halves = 0;

  private constructor(server: Server, target: () => { host: string; port: number }) {
    this.#server = server;
    this.#target = target;
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.port = address.port;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async open(target: () => { host: string; port: number }): Promise<FaultProxy> {
    const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultProxy(server, target);
  }

  /** Breaks every connection; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The next so many chunks pass by half, and their connections end there. */
  halve(chunks: number): void {
    this.#halves = chunks;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  #serve(client: Socket): void {
    const server = connect({ ...this.#target(), noDelay: true });
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      const held: Buffer[] = [];
      from.on('data', (chunk: Buffer) => this.#pass(chunk, held, from, to));
    }
  }

  #pass(chunk: Buffer, held: Buffer[], from: Socket, to: Socket): void {
    if (this.#halves > 0) {
      this.#halves--;
      to.write(chunk.subarray(0, chunk.length >> 1), () => {
        from.destroy();
        to.destroy();
      });
    } else if (this.delayMs > 0 || held.length > 0) {
      // The oldest that is held, whichever timer fires: no network swaps the bytes of a stream,
      // also where the delay has become shorter.
      held.push(chunk);
      setTimeout(() => {
        const oldest = held.shift();
        if (oldest !== undefined && !to.destroyed) to.write(oldest);
      }, this.delayMs);
    } else {
      to.write(chunk);
    }
  }
}
