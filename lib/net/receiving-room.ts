/** The budget that one connection holds for the request it is receiving. */
import type { Caller } from '../access.ts';
import type { Budget, Room, RoomWait } from './budget.ts';

export class ReceivingRoom {
  readonly #budget: Budget;
  readonly #arrived: (bytes: number) => void;
  #room: Room | undefined;
  /** What is also reserved in the share of its caller, until the request is there. */
  #inShare: Room | undefined;
  /** Called once the room is there; set while it is waited for. */
  #granted: (() => void) | undefined;
  #awaited: Budget | undefined;
  /** The part of the budget that the request is for. */
  #part: Budget;

  /** @param arrived told of the bytes once the room that was waited for is there */
  constructor(budget: Budget, arrived: (bytes: number) => void) {
    this.#budget = budget;
    this.#part = budget;
    this.#arrived = arrived;
  }

  /** Reserved for the request, in bytes. */
  get bytes(): number {
    return this.#room?.bytes ?? 0;
  }

  /** Whether room is being waited for. */
  get isAwaited(): boolean {
    return this.#granted !== undefined;
  }

  /**
   * Reserves room for a request; false if it must be waited for. A large one, which may still be
   * arriving, is first reserved in the share of its caller; a small one must be here whole.
   */
  reserve(bytes: number, caller: Caller): boolean {
    const part = this.#budget.partFor(bytes);
    const share = part === this.#budget ? part.shareOf(caller) : undefined;
    this.#part = part;
    return (share === undefined || this.#reserveIn(share, bytes)) && this.#reserveIn(part, bytes);
  }

  /** Hands the room to whoever gives it back; the share is freed. */
  take(): Room | undefined {
    const room = this.#room;
    this.#room = undefined;
    const inShare = this.#inShare;
    this.#inShare = undefined;
    inShare?.budget.release(inShare.bytes);
    return room;
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
      const isAll = budget === this.#part || this.#reserveIn(this.#part, bytes);
      if (isAll) this.#arrived(bytes);
    };
    this.#awaited = budget;
    budget.await(bytes, this.#granted);
    return false;
  }

  #hold(budget: Budget, bytes: number): void {
    if (budget === this.#part) this.#room = { budget, bytes };
    else this.#inShare = { budget, bytes };
  }
}

/** Room for a large request that a library receives. */
export interface Arrival {
  readonly room: Room;
  /** Call this once the request is there, or will not come: its caller may send the next one. */
  end(): void;
}

/**
 * Waits for room for a large request, also in the share of its caller.
 *
 * @throws EncServerError `OVERLOADED` when there was no room in time, `CANCELLED`
 */
export async function roomToArrive(
  budget: Budget,
  bytes: number,
  context: RoomWait & { readonly caller: Caller },
): Promise<Arrival> {
  const share = budget.shareOf(context.caller);
  await share?.reserved(bytes, context);
  try {
    await budget.reserved(bytes, context);
  } catch (error) {
    share?.release(bytes);
    throw error;
  }
  return { room: { budget, bytes }, end: () => share?.release(bytes) };
}
