/** Runs concurrent work in an order that a seed decides, so that every interleaving can be had. */

/** A pseudo-random generator (Mulberry32): for schedules, never for secrets. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export class Schedule {
  readonly random: (below: number) => number;
  /** How many steps were made: the time of this world. */
  step = 0;
  readonly #gates: (() => void)[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Resolves when the schedule lets this one go on. */
  gate(): Promise<void> {
    return new Promise((resolve) => this.#gates.push(resolve));
  }

  /** Lets one after another go on until all work is done. Rejects if that takes `stepsMax`. */
  async run(work: Promise<unknown>, stepsMax = 20_000): Promise<void> {
    const outcome = { done: false };
    const settled = work.finally(() => {
      outcome.done = true;
    });
    settled.catch(() => undefined);
    for (; !outcome.done; this.step++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.step >= stepsMax) throw new Error('the schedule does not come to an end');
      const [next] = this.#gates.splice(this.random(Math.max(1, this.#gates.length)), 1);
      next?.();
    }
    await settled;
  }
}
