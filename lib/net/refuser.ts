/** Tells connections that are not served why, in the dialect that they seem to speak. */
import type { Socket } from 'node:net';
import type { EncServerError } from '../errors.ts';
import { detect } from '../protocol/detect.ts';
import { TransientSet } from '../transient.ts';
import { refusalIn } from './refusals.ts';

/** How long a refused connection may take to read why, in milliseconds. */
const REFUSED_MS = 1_000;
/** Refused connections that are told why at the same time; more are cut silently. */
const REFUSED_MAX = 100;

export class Refuser {
  readonly #sockets = new TransientSet<Socket>();

  refuse(socket: Socket, error: EncServerError): void {
    if (this.#sockets.size >= REFUSED_MAX) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    const say = (head: Buffer) => {
      clearTimeout(timer);
      socket.off('data', say);
      sayAndClose(socket, refusalIn(detect(head, true) ?? 'text', error));
    };
    // A client that waits for the server to speak first is a person, or nobody.
    const timer = setTimeout(() => say(Buffer.alloc(0)), REFUSED_MS / 4);
    socket.on('data', say);
    socket.resume();
  }

  /** Cuts the connections that are still being told. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/**
 * Input is read and dropped meanwhile: left unread, it would reset the connection before the words
 * arrive.
 */
export function sayAndClose(socket: Socket, words: Buffer): void {
  socket.resume();
  socket.end(words);
  const timer = setTimeout(() => socket.destroy(), REFUSED_MS);
  socket.on('close', () => clearTimeout(timer));
}
