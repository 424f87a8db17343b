const FIRST_MS = 10;
const MAX_MS = 1_000;
/** A connection that lives shorter counts as failed, in milliseconds. */
const SHORT_MS = 1_000;

/** When to connect again: longer after each failure, up to a second, and never all at once. */
export class Backoff {
  readonly #connect: (() => void) | undefined;
  #failures = 0;
  #readyAtMs = 0;
  #dueAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param connect called once it is time; absent where one connects only when asked */
  constructor(connect: (() => void) | undefined) {
    this.#connect = connect;
  }

  get isDue(): boolean {
    return Date.now() >= this.#dueAtMs;
  }

  /** The connection is up. */
  ready(): void {
    this.#readyAtMs = Date.now();
  }

  /** The connection failed or broke. */
  lost(wasConnecting: boolean): void {
    // A server that accepts and closes at once, again and again, is as good as none.
    const isFailure = wasConnecting || Date.now() - this.#readyAtMs < SHORT_MS;
    this.#failures = isFailure ? this.#failures + 1 : 0;
    const longestMs = Math.min(MAX_MS, FIRST_MS * 2 ** this.#failures);
    const isDelayed = wasConnecting || this.#failures > 1;
    const delayMs = isDelayed ? longestMs * (0.5 + Math.random() / 2) : 0;
    this.#dueAtMs = Date.now() + delayMs;
    if (this.#connect === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#connect, delayMs);
    this.#timer.unref();
  }

  /** Nobody connects again. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
