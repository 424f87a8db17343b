/**
 * Looks up the current values of waiting writes while the group before theirs is being written.
 * Nothing else is being done to those keys, so what is found is still true when their own group is
 * formed, and that group need not wait for it.
 */

import { TransientMap } from '../transient.ts';
import { GROUP_LIMITS, type Write } from './group.ts';
import type { LookedUp } from './level-each.ts';

/** Writes that are looked up ahead: one group's. Whatever is found is held in memory. */
const AHEAD_MAX = GROUP_LIMITS.groupCountMax;

/** The value under each key, or why it could not be read, in the order of the keys. */
export type LookUp = (keys: Buffer[]) => Promise<readonly LookedUp[]>;

type Found = ReadonlyMap<Write, LookedUp>;

export class Lookups {
  readonly #lookUp: LookUp;
  readonly #byWrite = new TransientMap<Write, Promise<Found>>();
  #turn: Write[] = [];

  constructor(lookUp: LookUp) {
    this.#lookUp = lookUp;
  }

  /** Takes a write that may go into the next group; those of one turn are one lookup. */
  add(write: Write): void {
    if (this.#byWrite.size + this.#turn.length >= AHEAD_MAX) return;
    this.#turn.push(write);
    if (this.#turn.length === 1) setImmediate(() => this.#beginTurn());
  }

  /** The values under the keys of a group, in its order. Rejects if nothing could be looked up. */
  async take(group: readonly Write[]): Promise<LookedUp[]> {
    // A group may be formed in the same turn in which a write came.
    this.#beginTurn();
    const notAhead = group.filter((write) => !this.#byWrite.has(write));
    if (notAhead.length > 0) this.#begin(notAhead);
    const lookups = new Set<Promise<Found>>();
    for (const write of group) {
      lookups.add(this.#byWrite.get(write) as Promise<Found>);
      this.#byWrite.delete(write);
    }
    const found = new Map<Write, LookedUp>();
    for (const lookup of lookups) {
      for (const [write, value] of await lookup) found.set(write, value);
    }
    return group.map((write) => found.get(write));
  }

  /** Forgets writes whose group will never be formed. */
  clear(): void {
    this.#turn = [];
    this.#byWrite.clear();
  }

  #beginTurn(): void {
    const writes = this.#turn;
    this.#turn = [];
    if (writes.length > 0) this.#begin(writes);
  }

  #begin(writes: readonly Write[]): void {
    const lookup = this.#find(writes);
    // The failure is reported to whoever takes the write.
    lookup.catch(() => undefined);
    for (const write of writes) this.#byWrite.set(write, lookup);
  }

  async #find(writes: readonly Write[]): Promise<Found> {
    const values = await this.#lookUp(writes.map((write) => write.key));
    return new Map(writes.map((write, index) => [write, values[index]]));
  }
}
