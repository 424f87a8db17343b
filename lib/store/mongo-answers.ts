/**
 * Commands to MongoDB that are given up if there is no answer. The driver has a timeout for each
 * socket; but if a connection breaks at the moment a command is written to it, the driver waits for
 * ever for the socket to drain (seen in 7.9, with commands and with its own monitoring): `sendWire`
 * and `writeCommand` in its `cmap/connection`.
 */
import type { MongoClient } from 'mongodb';
import { TransientSet } from '../transient.ts';

/** Waits for an answer of MongoDB. Rejects as the promise does, or if it takes too long. */
export type Answered = <T>(command: Promise<T>) => Promise<T>;

/**
 * Longer than a socket's timeout, so that the driver reports first where it does. In milliseconds.
 */
const ANSWER_MS_MAX = 22_000;
/** Time after other connections broke: by then, a live one has answered or is reported broken. */
const AFTER_BREAK_MS = 3_000;

export class MongoAnswers {
  readonly #lost: () => void;
  /** Functions that give up the commands under way. */
  readonly #waiting = new TransientSet<() => void>();

  /** Addresses of the servers that commands go to, as far as they are known. */
  #asked: readonly string[] = [];

  /** @param lost called when a command was given up: the client may have no connection left */
  constructor(client: MongoClient, lost: () => void) {
    this.#lost = lost;
    client.on('topologyDescriptionChanged', ({ newDescription }) => {
      const servers = [...newDescription.servers.values()];
      const writable = servers.filter((one) => one.isWritable).map((one) => one.address);
      // A primary that is lost stays the one that was asked, until there is another.
      if (writable.length > 0) this.#asked = writable;
    });
    client.on('connectionPoolCleared', ({ address }) => this.#giveUpSoon(address));
    client.on('serverHeartbeatFailed', ({ connectionId }) => this.#giveUpSoon(connectionId));
  }

  /** @param address - the server whose connections broke */
  #giveUpSoon(address: string): void {
    if (this.#asked.length > 0 && !this.#asked.includes(address)) return;
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
