/** The budget that one connection holds for the request it is receiving. */
import type { Budget } from './budget.ts';

/** What a caller needs to identify itself, in bytes: HELLO with a token and a name, or AUTH. */
const GREETING_BYTES_MAX = 512;

export class ReceivingRoom {
  readonly #budget: Budget;
  readonly #arrived: (bytes: number) => void;
  #bytes = 0;
  /** The part of it that is also reserved in the strangers' share. */
  #strangerBytes = 0;
  /** Called once the room is there; set while it is waited for. */
  #granted: (() => void) | undefined;
  #awaited: Budget | undefined;

  /** @param arrived told of the bytes once the room that was waited for is there */
  constructor(budget: Budget, arrived: (bytes: number) => void) {
    this.#budget = budget;
    this.#arrived = arrived;
  }

  /** Reserved for the request, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether room is being waited for. */
  get isAwaited(): boolean {
    return this.#granted !== undefined;
  }

  /**
   * Reserves room for input; false if it must be waited for.
   *
   * @param isStranger whether the sender has not identified itself: what it may need to do so is
   *   reserved as for others, everything beyond that first in the strangers' share
   */
  reserve(bytes: number, isStranger: boolean): boolean {
    const { strangers } = this.#budget;
    const isStrange = isStranger && bytes > GREETING_BYTES_MAX;
    if (isStrange && !this.#reserveIn(strangers, bytes)) return false;
    return this.#reserveIn(this.#budget, bytes);
  }

  /** Hands the room to whoever gives it back to the budget; the strangers' share is freed. */
  take(): number {
    const bytes = this.#bytes;
    this.#bytes = 0;
    if (this.#strangerBytes > 0) this.#budget.strangers.release(this.#strangerBytes);
    this.#strangerBytes = 0;
    return bytes;
  }

  /** Stops waiting. */
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
