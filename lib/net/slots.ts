/** Bounds how many may do something at once; the others wait in order. */
import { EncServerError } from '../errors.ts';

/** How long a caller waits. */
export interface SlotWait {
  /** In milliseconds, on the clock of `performance.now()`. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Resolves when it is the caller's turn; the caller ends it with {@link release}.
   *
   * @throws EncServerError `OVERLOADED` if that was not in time, `CANCELLED`
   */
  async take(wait: SlotWait): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await this.#turn(wait);
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }

  #turn({ deadlineMs, signal }: SlotWait): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (signal.aborted) {
        reject(cancelled());
        return;
      }
      const granted = () => {
        stopWaiting();
        resolve();
      };
      const giveUp = () => {
        stopWaiting();
        this.#waiting.splice(this.#waiting.indexOf(granted), 1);
        reject(signal.aborted ? cancelled() : tooLate());
      };
      const timer = setTimeout(giveUp, Math.max(0, deadlineMs - performance.now()));
      const stopWaiting = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(granted);
    });
  }
}

function cancelled(): EncServerError {
  return new EncServerError('CANCELLED', 'the request was cancelled');
}

function tooLate(): EncServerError {
  return new EncServerError('OVERLOADED', 'too many others were first');
}
