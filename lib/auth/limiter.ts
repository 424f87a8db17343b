/**
 * Limits how often something may happen in a period, for each of many: a bucket that fills at a
 * steady pace (a token bucket, as in RFC 2698 section 3) and is taken from.
 */

import type { Bound } from './bounds.ts';

/** Milliseconds of a clock that never goes back. */
export type Clock = () => number;

interface Bucket {
  left: number;
  filledAtMs: number;
}

/** Buckets that are remembered at once; a forgotten caller starts again with a full one. */
export const BUCKETS_MAX = 10_000;
/**
 * How many windows a debt may take to be worked off. Requests under way at once may overdraw a
 * bound by more than that; who has made an honest mistake must not be locked out for hours.
 */
const DEBT_WINDOWS_MAX = 10;

/** What is left of `max` in a window; of a debt no more than {@link DEBT_WINDOWS_MAX} work off. */
export function boundDebt(left: number, max: number): number {
  // Whoever owes waits until there is one again, not until there is none.
  return Math.max(1 - DEBT_WINDOWS_MAX * max, left);
}

export class Limiter implements Bound {
  readonly #max: number;
  readonly #perMs: number;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Bucket>();

  /** `max` in each `windowMs`, all at once if need be; 0 for no bound. */
  constructor(max: number, windowMs: number, clock: Clock = () => performance.now()) {
    this.#max = max;
    this.#perMs = max / windowMs;
    this.#clock = clock;
  }

  take(who: string): boolean {
    if (this.#max === 0) return true;
    const bucket = this.#filled(who);
    if (bucket.left < 1) return false;
    bucket.left--;
    return true;
  }

  note(who: string): void {
    this.owe(who, 1);
  }

  has(who: string): boolean {
    if (this.#max === 0 || !this.#buckets.has(who)) return true;
    return this.#filled(who).left >= 1;
  }

  dueMs(who: string): number {
    if (this.has(who)) return 0;
    return (1 - this.#filled(who).left) / this.#perMs;
  }

  /**
   * Takes what has happened already, even if that is more than is left: the caller then waits it
   * off. Returns what is left.
   */
  owe(who: string, count: number): number {
    if (this.#max === 0) return 0;
    const bucket = this.#filled(who);
    bucket.left = boundDebt(bucket.left - count, this.#max);
    return bucket.left;
  }

  /** The callers whose buckets are not full, with what is left. */
  *lefts(): Iterable<readonly [who: string, left: number]> {
    for (const who of this.#buckets.keys()) {
      const { left } = this.#filled(who);
      if (left < this.#max) yield [who, left];
    }
  }

  #filled(who: string): Bucket {
    const now = this.#clock();
    const known = this.#buckets.get(who);
    if (known === undefined) return this.#add(who, now);
    const filled = known.left + (now - known.filledAtMs) * this.#perMs;
    known.left = Math.min(this.#max, filled);
    known.filledAtMs = now;
    return known;
  }

  #add(who: string, now: number): Bucket {
    if (this.#buckets.size >= BUCKETS_MAX) this.#forget(now);
    const bucket = { left: this.#max, filledAtMs: now };
    this.#buckets.set(who, bucket);
    return bucket;
  }

  /** First those that are full again, who lose nothing; then the oldest. */
  #forget(now: number): void {
    for (const [who, { left, filledAtMs }] of this.#buckets) {
      if (left + (now - filledAtMs) * this.#perMs >= this.#max) this.#buckets.delete(who);
    }
    for (const who of this.#buckets.keys()) {
      if (this.#buckets.size < BUCKETS_MAX) return;
      this.#buckets.delete(who);
    }
  }
}
