/** When to retry what failed. Times are in milliseconds. */
export interface BackoffTimes {
  /** Half of the wait after the first failure, which doubles with each. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** Anything that lives shorter than this counts as failed. */
  readonly shortMs: number;
}

/** The times for connections. */
const CONNECTING: BackoffTimes = { firstMs: 10, maxMs: 1_000, shortMs: 1_000 };

/** When to connect again: longer after each failure, up to a bound, and never all at once. */
export class Backoff {
  readonly #connect: (() => void) | undefined;
  readonly #times: BackoffTimes;
  #failures = 0;
  #readyAtMs = 0;
  #dueAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param connect called when it is time; absent where the caller waits by itself */
  constructor(connect: (() => void) | undefined, times = CONNECTING) {
    this.#connect = connect;
    this.#times = times;
  }

  get isDue(): boolean {
    return performance.now() >= this.#dueAtMs;
  }

  /** The connection is up. */
  ready(): void {
    this.#readyAtMs = performance.now();
  }

  /** The connection failed or broke. Returns how long to wait, in milliseconds. */
  lost(wasConnecting: boolean): number {
    // A server that accepts and closes at once, again and again, is as good as none.
    const isFailure = wasConnecting || performance.now() - this.#readyAtMs < this.#times.shortMs;
    this.#failures = isFailure ? this.#failures + 1 : 0;
    const { firstMs, maxMs } = this.#times;
    const longestMs = Math.min(maxMs, firstMs * 2 ** this.#failures);
    const isDelayed = wasConnecting || this.#failures > 1;
    const delayMs = isDelayed ? longestMs * (0.5 + Math.random() / 2) : 0;
    this.#dueAtMs = performance.now() + delayMs;
    if (this.#connect !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(this.#connect, delayMs);
      this.#timer.unref();
    }
    return delayMs;
  }

  /** No more attempts are made. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
