/** The room of one connection for the request that it is receiving. */
import type { Budget } from './budget.ts';

/** What it takes to say who one is, in bytes: HELLO with a token and a name, or AUTH. */
const GREETING_BYTES_MAX = 512;

export class ReceivingRoom {
  readonly #budget: Budget;
  readonly #arrived: (bytes: number) => void;
  #bytes = 0;
  /** What of it is reserved among strangers, too. */
  #strangerBytes = 0;
  /** Called when the room is there that is waited for, and where it is. */
  #granted: (() => void) | undefined;
  #awaited: Budget | undefined;

  /** @param arrived told of room that was waited for, and is there */
  constructor(budget: Budget, arrived: (bytes: number) => void) {
    this.#budget = budget;
    this.#arrived = arrived;
  }

  /** Reserved for the request, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether there is room that is waited for. */
  get isAwaited(): boolean {
    return this.#granted !== undefined;
  }

  /**
   * Reserves room for input; false when it must be waited for.
   *
   * @param isStranger whether its sender has not said who it is: what it may need for that is
   *   reserved as for others, and all beyond among strangers first
   */
  reserve(bytes: number, isStranger: boolean): boolean {
    const { strangers } = this.#budget;
    const isStrange = isStranger && bytes > GREETING_BYTES_MAX;
    if (isStrange && !this.#reserveIn(strangers, bytes)) return false;
    return this.#reserveIn(this.#budget, bytes);
  }

  /** Hands the room over to whoever gives it back to the budget. What strangers share is free. */
  take(): number {
    const bytes = this.#bytes;
    this.#bytes = 0;
    if (this.#strangerBytes > 0) this.#budget.strangers.release(this.#strangerBytes);
    this.#strangerBytes = 0;
    return bytes;
  }

  /** Waits no longer. */
  forget(): void {
    if (this.#granted !== undefined) this.#awaited?.forget(this.#granted);
    this.#granted = undefined;
  }

  #reserveIn(budget: Budget, bytes: number): boolean {
    if (budget.tryReserve(bytes)) {
      this.#hold(budget, bytes);
      return true;
    }
    this.#granted = () => {
      this.#granted = undefined;
      this.#hold(budget, bytes);
      const isAll = budget === this.#budget || this.#reserveIn(this.#budget, bytes);
      if (isAll) this.#arrived(bytes);
    };
    this.#awaited = budget;
    budget.await(bytes, this.#granted);
    return false;
  }

  #hold(budget: Budget, bytes: number): void {
    if (budget === this.#budget) this.#bytes += bytes;
    else this.#strangerBytes += bytes;
  }
}
