/**
 * When a command may begin beside those that are under way. One that is small waits for them, and
 * grows meanwhile; but only for a while, since they may be stuck.
 */

/** Bounds of what is under way at once. */
export interface BesideLimits {
  /** Commands under way at once. */
  readonly atOnceMax: number;
  /** One this large begins beside those under way; a smaller one waits and grows. */
  readonly besideCountMin: number;
  /** So does a smaller one after this many milliseconds; undefined is never. */
  readonly besideAfterMs: number | undefined;
}

export class Beside {
  readonly #limits: BesideLimits;
  readonly #late: () => void;
  /** Runs while something waits. */
  #timer: NodeJS.Timeout | undefined;
  /** Whether it ran out; stays so until what waits begins, even if there is no room for it yet. */
  #isLate = false;

  /** @param late - called once what waits has waited long enough */
  constructor(limits: BesideLimits, late: () => void) {
    this.#limits = limits;
    this.#late = late;
  }

  /** Whether what waits may begin. */
  mayBegin(waitingCount: number, underWayCount: number): boolean {
    const { atOnceMax, besideCountMin } = this.#limits;
    if (waitingCount === 0 || underWayCount >= atOnceMax) return false;
    return underWayCount === 0 || waitingCount >= besideCountMin || this.#isLate;
  }

  /** Notes that something waits. */
  wait(): void {
    const { besideAfterMs } = this.#limits;
    if (besideAfterMs === undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#isLate = true;
      this.#late();
    }, besideAfterMs);
  }

  /** Notes that what waited has begun, or is gone. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isLate = false;
  }
}
