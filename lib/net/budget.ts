/**
 * The bytes of requests and replies that a process holds at one time.
 * Room is given in the order in which it was asked for. What is larger than the whole budget is let
 * through alone. Small requests have a part of their own, which only work under way can fill: large
 * ones that never arrive, and replies that nobody takes, keep no small one waiting.
 */
import { type Caller, isKnown, isNobody } from '../access.ts';
import { EncServerError } from '../errors.ts';
import { SMALL_REQUEST_BYTES_MAX } from '../protocol/limits.ts';

interface Waiter {
  readonly bytes: number;
  readonly held: Room | undefined;
  readonly granted: () => void;
}

/** Room that a request has. */
export interface Room {
  /** Where it is given back. */
  readonly budget: Budget;
  readonly bytes: number;
}

/** How long a request waits for room. */
export interface RoomWait {
  /** What the request holds already. */
  readonly room?: Room | undefined;
  /** In milliseconds, on the clock of `performance.now()`. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** The part of a process's budget that is for small requests alone. */
const SMALL_SHARE = 1 / 4;
/** What all callers that have not identified themselves may reserve for requests still arriving. */
const STRANGERS_SHARE = 1 / 4;
/** What one caller that has identified itself may reserve for requests still arriving. */
const CALLER_SHARE = 1 / 2;

/** The budget of a process, with its part for small requests. */
export function budgetOf(bytesMax: number): Budget {
  return new Budget(bytesMax * (1 - SMALL_SHARE), new Budget(bytesMax * SMALL_SHARE));
}

export class Budget {
  readonly bytesMax: number;
  readonly #small: Budget | undefined;
  /** By the label of their caller. There are no more than tokens and certificates. */
  readonly #shares = new Map<string, Budget>();
  #inUse = 0;
  /** What requests hold that wait for more, a batch at several places: until then it is not freed. */
  readonly #parked = new Map<Room, number>();
  #parkedBytes = 0;
  #granting = false;
  readonly #waiting: Waiter[] = [];

  /** @param small for small requests; without it they share this one with all others */
  constructor(bytesMax: number, small?: Budget) {
    this.bytesMax = bytesMax;
    this.#small = small;
  }

  /** Where a request of that many bytes reserves its room. */
  partFor(requestBytes: number): Budget {
    return requestBytes <= SMALL_REQUEST_BYTES_MAX ? (this.#small ?? this) : this;
  }

  /**
   * What a caller may hold for large requests that are still arriving, so that it cannot keep the
   * others waiting; it is reserved here too. All strangers have one share together. Undefined where
   * callers are not told apart.
   */
  shareOf(caller: Caller): Budget | undefined {
    const isStranger = isNobody(caller);
    if (!isStranger && !isKnown(caller)) return undefined;
    let share = this.#shares.get(caller.label);
    if (share === undefined) {
      share = new Budget(this.bytesMax * (isStranger ? STRANGERS_SHARE : CALLER_SHARE));
      this.#shares.set(caller.label, share);
    }
    return share;
  }

  /** Whether replies hold more than there is room for. */
  get isOverfull(): boolean {
    return this.#inUse > this.bytesMax;
  }

  /**
   * The most that one request should reserve. The rest is left to all others, so that a large
   * request need not wait until nobody else holds anything.
   */
  get shareBytesMax(): number {
    return this.bytesMax * (1 - STRANGERS_SHARE);
  }

  /** Bytes held now. */
  get inUseBytes(): number {
    return this.#inUse + (this.#small?.inUseBytes ?? 0);
  }

  /**
   * Reserves `bytes` and returns true; or returns false and calls `granted` once they are
   * reserved. Every reservation is given back with {@link release}.
   *
   * @param held What the asker holds here already and gives back only after this is granted.
   */
  reserve(bytes: number, granted: () => void, held?: Room): boolean {
    if (this.tryReserve(bytes, held?.bytes)) return true;
    this.await(bytes, granted, held);
    return false;
  }

  /** Reserves `bytes` where nobody waits and there is room; says whether it did. */
  tryReserve(bytes: number, heldBytes = 0): boolean {
    if (this.#waiting.length > 0 || !this.#fits(bytes, heldBytes)) return false;
    this.#inUse += bytes;
    return true;
  }

  /** Calls `granted` once `bytes` are reserved, after everyone who waited before. */
  await(bytes: number, granted: () => void, held?: Room): void {
    this.#waiting.push({ bytes, held, granted });
    if (held === undefined) return;
    this.#park(held, 1);
    // By now, everything that is held may belong to requests that wait.
    queueMicrotask(() => this.#grant());
  }

  /** Withdraws the request that waits for `granted`, if it still does. */
  forget(granted: () => void): void {
    const index = this.#waiting.findIndex((waiter) => waiter.granted === granted);
    const [waiter] = index < 0 ? [] : this.#waiting.splice(index, 1);
    if (waiter === undefined) return;
    this.#park(waiter.held, -1);
    this.#grant();
  }

  /**
   * As {@link reserve}, for a request that can wait.
   *
   * @throws EncServerError `OVERLOADED` when there was no room in time, `CANCELLED`
   */
  reserved(bytes: number, wait: RoomWait): Promise<void> {
    return new Promise((resolve, reject) => {
      const granted = () => {
        stopWaiting();
        resolve();
      };
      const { room } = wait;
      if (this.reserve(bytes, granted, room?.budget === this ? room : undefined)) {
        resolve();
        return;
      }
      // Made when it is first asked for, which costs more than all of this.
      const { signal } = wait;
      const giveUp = () => {
        stopWaiting();
        this.forget(granted);
        reject(
          signal.aborted
            ? new EncServerError('CANCELLED', 'the request was cancelled')
            : new EncServerError('OVERLOADED', `no room for ${bytes} bytes in time`),
        );
      };
      const timer = setTimeout(giveUp, Math.max(0, wait.deadlineMs - performance.now()));
      const stopWaiting = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (signal.aborted) giveUp();
    });
  }

  /** Counts bytes that exist already, such as a reply, whether there is room or not. */
  count(bytes: number): void {
    this.#inUse += bytes;
  }

  /** Gives bytes back, and lets through the requests that waited for them. */
  release(bytes: number): void {
    this.#inUse -= bytes;
    this.#grant();
  }

  /** A loop, not recursion: whoever is let through may give bytes back at once, and so on. */
  #grant(): void {
    if (this.#waiting.length === 0 || this.#granting) return;
    this.#granting = true;
    try {
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
        if (!this.#fits(next.bytes, 0)) break;
        this.#waiting.shift();
        this.#park(next.held, -1);
        this.#inUse += next.bytes;
        next.granted();
      }
    } finally {
      this.#granting = false;
    }
  }

  /** Counts a room once, however often its request waits. */
  #park(held: Room | undefined, change: number): void {
    if (held === undefined) return;
    const before = this.#parked.get(held) ?? 0;
    const after = before + change;
    if (after > 0) this.#parked.set(held, after);
    else this.#parked.delete(held);
    this.#parkedBytes += (Math.sign(after) - Math.sign(before)) * held.bytes;
  }

  /** True if there is room, or if only waiting requests hold any: waiting would free nothing. */
  #fits(bytes: number, heldBytes: number): boolean {
    return this.#inUse + bytes <= this.bytesMax || this.#inUse <= this.#parkedBytes + heldBytes;
  }
}
