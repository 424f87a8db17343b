/** How long a lane waits: for each answer, and for any sign of a peer that may be gone. */
import type { Pending, PendingTable } from './pending.ts';

const CHECK_INTERVAL_MS = 20;

export interface DeadlineEvents {
  /** The time of a request is over without an answer. */
  readonly over: (pending: Pending) => void;
  /** Nothing at all has arrived for a long time, although an answer was due. */
  readonly silent: () => void;
}

export class Deadlines {
  readonly #pending: PendingTable;
  readonly #silenceMs: number;
  readonly #events: DeadlineEvents;
  #heardAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param silenceMs how long a peer may be silent before it counts as gone, in milliseconds */
  constructor(pending: PendingTable, silenceMs: number, events: DeadlineEvents) {
    this.#pending = pending;
    this.#silenceMs = silenceMs;
    this.#events = events;
  }

  /** There is a request to watch. */
  watch(): void {
    // After a pause of this process timers come first: what has arrived meanwhile must be read before.
    this.#timer ??= setInterval(() => setImmediate(() => this.#check()), CHECK_INTERVAL_MS);
  }

  /** The peer has said something. */
  heard(): void {
    this.#heardAtMs = performance.now();
  }

  /** A request is done: once there are none left, this must not keep the process alive. */
  stopWhenIdle(): void {
    if (this.#pending.waiting > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    const now = performance.now();
    let unansweredSinceMs = now;
    for (const pending of this.#pending.all()) {
      if (now < pending.request.deadlineMs) continue;
      // Abandoned requests count too: a live peer answers by the deadline that it was told.
      const isUnheard = pending.sentAtMs > 0 && pending.sentAtMs >= this.#heardAtMs;
      if (isUnheard) unansweredSinceMs = Math.min(unansweredSinceMs, pending.sentAtMs);
      if (!pending.abandoned) this.#events.over(pending);
    }
    if (unansweredSinceMs === now) return;
    // A caller less patient than that proves nothing, and must not break the connection for the
    // others.
    if (now - unansweredSinceMs >= this.#silenceMs) this.#events.silent();
  }
}
