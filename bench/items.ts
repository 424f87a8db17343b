/**
 * The IDs and keys of what a run has stored, in large buffers: a million small ones would keep the
 * generator's garbage collector busy, and the servers would lack that processor time.
 */
import { randomFillSync } from 'node:crypto';
import type { Item } from './drivers/driver.ts';

const ID_BYTES = 16;
const KEY_LENGTH_AT = ID_BYTES;
const KEY_AT = KEY_LENGTH_AT + 1;
/** Room for an ID, and for a key as bytes or as text. */
const ITEM_BYTES = KEY_AT + 79;
const SLAB_ITEMS = 4096;

class SlabItem implements Item {
  readonly #slab: Buffer;
  readonly #at: number;

  constructor(slab: Buffer, at: number) {
    this.#slab = slab;
    this.#at = at;
  }

  get id(): Buffer {
    return this.#slab.subarray(this.#at, this.#at + ID_BYTES);
  }

  get key(): Buffer | undefined {
    const length = this.#slab[this.#at + KEY_LENGTH_AT] as number;
    const start = this.#at + KEY_AT;
    return length === 0 ? undefined : this.#slab.subarray(start, start + length);
  }

  set key(key: Buffer) {
    if (KEY_AT + key.length > ITEM_BYTES) throw new Error(`a key of ${key.length} bytes`);
    this.#slab[this.#at + KEY_LENGTH_AT] = key.length;
    this.#slab.set(key, this.#at + KEY_AT);
  }
}

export class Items {
  readonly #slabs: Buffer[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Adds one with a random ID that no other has. */
  add(): Item {
    if (this.#count === this.#slabs.length * SLAB_ITEMS) this.#slabs.push(newSlab());
    return this.at(this.#count++);
  }

  at(index: number): Item {
    const slab = this.#slabs[Math.floor(index / SLAB_ITEMS)] as Buffer;
    return new SlabItem(slab, (index % SLAB_ITEMS) * ITEM_BYTES);
  }

  /** Removes and returns the last one; undefined if there is none. */
  pop(): Item | undefined {
    return this.#count === 0 ? undefined : this.at(--this.#count);
  }
}

/** Its random bytes are the IDs; the bytes between them are overwritten. */
function newSlab(): Buffer {
  const slab = randomFillSync(Buffer.alloc(SLAB_ITEMS * ITEM_BYTES));
  for (let index = 0; index < SLAB_ITEMS; index++) slab[index * ITEM_BYTES + KEY_LENGTH_AT] = 0;
  return slab;
}
