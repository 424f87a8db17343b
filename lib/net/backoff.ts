const FIRST_MS = 10;
const MAX_MS = 1_000;
/** A connection that lives shorter counts as failed, in milliseconds. */
const SHORT_MS = 1_000;

/** When to connect again: longer after each failure, up to a second, and never all at once. */
export class Backoff {
  #failures = 0;
  #readyAtMs = 0;
  #dueAtMs = 0;

  get isDue(): boolean {
    return Date.now() >= this.#dueAtMs;
  }

  /** The connection is up. */
  ready(): void {
    this.#readyAtMs = Date.now();
  }

  /** The connection failed or broke. Returns how long to wait, in milliseconds. */
  lost(wasConnecting: boolean): number {
    // A server that accepts and closes at once, again and again, is as good as none.
    const isFailure = wasConnecting || Date.now() - this.#readyAtMs < SHORT_MS;
    this.#failures = isFailure ? this.#failures + 1 : 0;
    const longestMs = Math.min(MAX_MS, FIRST_MS * 2 ** this.#failures);
    const isDelayed = wasConnecting || this.#failures > 1;
    const delayMs = isDelayed ? longestMs * (0.5 + Math.random() / 2) : 0;
    this.#dueAtMs = Date.now() + delayMs;
    return delayMs;
  }
}
