/**
 * Bounds that several processes enforce together. A caller is answered at once, from what this
 * process may allow by itself: its part of what is left for the caller. The process reports what it
 * allowed to the one that keeps the account, and learns what is left, for all of them to divide
 * anew. If two spend the same allowance at once, the caller goes into debt, and must wait that off.
 */
import { BOUND_NAMES, BOUNDS, type Bound, type BoundName, type BoundSettings } from './bounds.ts';
import { BUCKETS_MAX, boundDebt, type Clock, Limiter } from './limiter.ts';

/** How often each caller or address has done what is bounded. */
export type Taken = readonly (readonly [bound: BoundName, who: string, count: number])[];

/** What is left for each; below 0 if it has had too much. */
export type Left = readonly (readonly [bound: BoundName, who: string, left: number])[];

/** The account of all processes. */
export class BoundsAccount {
  readonly #limiters: Readonly<Record<BoundName, Limiter>>;

  constructor(section: BoundSettings, clock?: Clock) {
    const of = (name: BoundName) => {
      const { setting, windowMs } = BOUNDS[name];
      return new Limiter(section[setting], windowMs, clock);
    };
    this.#limiters = {
      requests: of('requests'),
      wrongKeys: of('wrongKeys'),
      wrongTokens: of('wrongTokens'),
    };
  }

  take(taken: Taken): Left {
    return taken.map(([bound, who, count]) => [bound, who, this.#limiters[bound].owe(who, count)]);
  }

  /** For a process that starts: callers that are not listed have their full bound. */
  get left(): Left {
    return BOUND_NAMES.flatMap((name) =>
      [...this.#limiters[name].lefts()].map(([who, left]) => [name, who, left] as const),
    );
  }
}

/** How often a process reports to its {@link BoundsAccount}, in milliseconds. */
const TELL_MS = 50;

/** One process's part of the bounds. */
export class SharedBounds {
  readonly #bounds = new Map<BoundName, SharedBound>();
  readonly #tell: (taken: Taken) => void;
  readonly #timer: NodeJS.Timeout;
  #isAnswered = true;

  /** `tell` is called again only after {@link answered}. */
  constructor(
    section: BoundSettings,
    processes: number,
    tell: (taken: Taken) => void,
    clock: Clock = () => performance.now(),
  ) {
    this.#tell = tell;
    for (const name of BOUND_NAMES) {
      const { setting, windowMs } = BOUNDS[name];
      const max = section[setting];
      this.#bounds.set(name, new SharedBound({ max, windowMs, processes, clock }));
    }
    this.#timer = setInterval(() => this.tellNow(), TELL_MS);
    this.#timer.unref();
  }

  of(name: BoundName): Bound {
    return this.#bound(name);
  }

  tellNow(): void {
    if (!this.#isAnswered) return;
    const taken = [...this.#bounds].flatMap(([name, bound]) =>
      [...bound.untold()].map(([who, count]) => [name, who, count] as const),
    );
    if (taken.length === 0) return;
    this.#isAnswered = false;
    this.#tell(taken);
  }

  /** What is left after another process's report. */
  learn(left: Left): void {
    for (const [name, who, count] of left) this.#bound(name).learn(who, count);
  }

  /** What is left after this process's report. */
  answered(left: Left): void {
    this.#isAnswered = true;
    for (const bound of this.#bounds.values()) bound.settle();
    this.learn(left);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #bound(name: BoundName): SharedBound {
    return this.#bounds.get(name) as SharedBound;
  }
}

interface SharedBoundOptions {
  /** 0 for no bound. */
  readonly max: number;
  readonly windowMs: number;
  readonly processes: number;
  readonly clock: Clock;
}

/** What was left for all processes, when last learned. */
interface Account {
  readonly left: number;
  readonly atMs: number;
}

class SharedBound implements Bound {
  readonly #options: SharedBoundOptions;
  /** Callers that are not listed have their full bound. */
  readonly #accounts = new Map<string, Account>();
  /** What this process allowed that is not in an account yet: reported and not answered, … */
  #told = new Map<string, number>();
  /** … and not reported yet. */
  #untold = new Map<string, number>();

  constructor(options: SharedBoundOptions) {
    this.#options = options;
  }

  take(who: string): boolean {
    if (!this.has(who)) return false;
    this.note(who);
    return true;
  }

  has(who: string): boolean {
    const { max, processes } = this.#options;
    if (max === 0) return true;
    const left = this.#leftOf(this.#accounts.get(who));
    if (left < 1) return false;
    // At least one, even if fewer are left than there are processes: otherwise nobody got any.
    const part = Math.max(1, Math.floor(left / processes));
    return this.#takenOf(who) < part;
  }

  dueMs(who: string): number {
    const { max, windowMs } = this.#options;
    if (this.has(who)) return 0;
    // As the account will have it once it is told.
    const left = boundDebt(this.#leftOf(this.#accounts.get(who)) - this.#takenOf(who), max);
    // Where only this process's part is used up, it learns of more at the next report.
    return Math.max(TELL_MS, ((1 - left) * windowMs) / max);
  }

  note(who: string): void {
    if (this.#options.max === 0) return;
    this.#untold.set(who, (this.#untold.get(who) ?? 0) + 1);
  }

  /** What was taken since the last report, which counts as reported from here on. */
  untold(): Iterable<readonly [who: string, count: number]> {
    this.#told = this.#untold;
    this.#untold = new Map();
    return this.#told;
  }

  settle(): void {
    this.#told = new Map();
  }

  learn(who: string, left: number): void {
    if (this.#accounts.size >= BUCKETS_MAX && !this.#accounts.has(who)) this.#forget();
    this.#accounts.set(who, { left, atMs: this.#options.clock() });
  }

  #takenOf(who: string): number {
    return (this.#told.get(who) ?? 0) + (this.#untold.get(who) ?? 0);
  }

  #leftOf(account: Account | undefined): number {
    const { max, windowMs, clock } = this.#options;
    if (account === undefined) return max;
    return Math.min(max, account.left + ((clock() - account.atMs) * max) / windowMs);
  }

  /** First those with their full bound, who lose nothing; then the oldest. */
  #forget(): void {
    for (const [who, account] of this.#accounts) {
      if (this.#leftOf(account) >= this.#options.max) this.#accounts.delete(who);
    }
    for (const who of this.#accounts.keys()) {
      if (this.#accounts.size < BUCKETS_MAX) return;
      this.#accounts.delete(who);
    }
  }
}
