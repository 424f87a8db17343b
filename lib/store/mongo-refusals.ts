/**
 * Whether MongoDB lets this program write: it may be there and answer reads, and refuse every
 * write, since a right was taken away or its disk is full.
 */
import { refusalOf } from './mongo-error.ts';
import type { StoreLog } from './open.ts';

/**
 * A refusal counts until a write succeeds, but no longer than this, in milliseconds: a server that
 * counts as not ready may get no write by which it could find out.
 */
const REFUSED_MS = 30_000;

export class MongoRefusals {
  readonly #log: StoreLog | undefined;
  /** The code of the last refusal. */
  #code: number | undefined;
  /** When it came, by `performance.now()`. */
  #sinceMs = 0;

  constructor(log?: StoreLog) {
    this.#log = log;
  }

  /** Why writes are refused, in words; undefined if they are not. */
  get reason(): string | undefined {
    if (this.#code === undefined || performance.now() - this.#sinceMs > REFUSED_MS)
      return undefined;
    return `MongoDB refuses writes (${this.#code})`;
  }

  /** Waits for a command that writes, and rejects as it does. */
  async watch<T>(command: Promise<T>): Promise<T> {
    try {
      const result = await command;
      if (this.#code !== undefined) this.#log?.('info', 'MongoDB takes writes again');
      this.#code = undefined;
      return result;
    } catch (thrown) {
      this.#note(refusalOf(thrown));
      throw thrown;
    }
  }

  #note(code: number | undefined): void {
    if (code === undefined) return;
    // What was told before its time was up is news again: the server turns red again.
    if (code !== this.#code || this.reason === undefined)
      this.#log?.('error', 'MongoDB refuses writes', { code });
    this.#code = code;
    this.#sinceMs = performance.now();
  }
}
