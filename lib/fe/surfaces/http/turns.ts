/**
 * Pipelined requests of one connection wait for each other, as text lines do. Otherwise a client
 * that sends many and reads nothing could make the whole process hold all their answers.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export class Turns {
  readonly #last = new WeakMap<Socket, Promise<void>>();

  /** Resolves when the answer before this one is out; undefined where none is owed. */
  take(socket: Socket, response: ServerResponse): Promise<void> | undefined {
    const before = this.#last.get(socket);
    const out = new Promise<void>((resolve) => {
      response.once('close', () => {
        if (this.#last.get(socket) === out) this.#last.delete(socket);
        resolve();
      });
    });
    this.#last.set(socket, out);
    return before;
  }
}
