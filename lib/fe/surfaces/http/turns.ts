/**
 * Pipelined requests of one connection are executed one after the other, as text lines are.
 * Otherwise a client that sends many and reads nothing could make the process hold all their
 * answers.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export class Turns {
  readonly #last = new WeakMap<Socket, Promise<void>>();

  /** Resolves when the previous answer is out; undefined if none is owed. */
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
