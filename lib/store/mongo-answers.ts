/**
 * Commands to MongoDB that are given up when there is no answer. The driver has a time-out for
 * each socket; but where a connection breaks in the moment that a command is written to it, it
 * waits for ever for the socket to drain (seen in 7.9, of commands and of its own look at the
 * server): `sendWire` and `writeCommand` of its `cmap/connection`.
 */
import type { MongoClient } from 'mongodb';

/** Waits for what MongoDB answers. Rejects as the promise does, or when it takes too long. */
export type Answered = <T>(command: Promise<T>) => Promise<T>;

/** Longer than a socket's time-out, so that the driver tells first where it does, in milliseconds. */
const ANSWER_MS_MAX = 22_000;
/** After other connections broke: what is alive is answered by then, or reported broken. */
const AFTER_BREAK_MS = 3_000;

export class MongoAnswers {
  readonly #lost: () => void;
  /** What gives up the commands that are under way. */
  readonly #waiting = new Set<() => void>();

  /** @param lost told when a command was given up: the client may have no connection left */
  constructor(client: MongoClient, lost: () => void) {
    this.#lost = lost;
    client.on('connectionPoolCleared', () => this.#giveUpSoon());
    client.on('serverHeartbeatFailed', () => this.#giveUpSoon());
  }

  #giveUpSoon(): void {
    const waiting = [...this.#waiting];
    setTimeout(() => {
      for (const giveUp of waiting) giveUp();
    }, AFTER_BREAK_MS).unref();
  }

  readonly answered: Answered = async (command) => {
    let giveUp: () => void = () => undefined;
    const late = new Promise<never>((_resolve, reject) => {
      giveUp = () => {
        if (!this.#waiting.delete(giveUp)) return;
        reject(new Error('MongoDB gave no answer'));
        this.#lost();
      };
    });
    this.#waiting.add(giveUp);
    const timer = setTimeout(giveUp, ANSWER_MS_MAX).unref();
    try {
      return await Promise.race([command, late]);
    } finally {
      this.#waiting.delete(giveUp);
      clearTimeout(timer);
    }
  };
}
