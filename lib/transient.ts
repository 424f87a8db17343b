/**
 * A map and a set for entries that come and go with each request.
 *
 * V8 gives a `Map` a new table as entries come and go, and links the old table to the new one, for
 * iterators. Once a table has become an old object, which only a full collection frees, each later
 * table and all its entries are kept with it: requests that ended long ago are then copied by every
 * young collection, which takes up to a fifth of a server's time. A `Map` of its own every now and
 * then breaks this chain.
 */

/** The map is renewed when this many entries more than it holds have been deleted. */
const RENEW_AFTER = 16;

/** As a `Map`, but for an iterator: it may or may not see what is changed after it was made. */
export class TransientMap<K, V> implements Iterable<[K, V]> {
  #map = new Map<K, V>();
  #deleted = 0;

  get size(): number {
    return this.#map.size;
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  set(key: K, value: V): void {
    this.#map.set(key, value);
  }

  /** Whether there was such an entry. */
  delete(key: K): boolean {
    if (!this.#map.delete(key)) return false;
    this.#deleted++;
    if (this.#deleted > this.#map.size + RENEW_AFTER) this.#renew(this.#map);
    return true;
  }

  clear(): void {
    this.#renew([]);
  }

  keys(): IterableIterator<K> {
    return this.#map.keys();
  }

  values(): IterableIterator<V> {
    return this.#map.values();
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.#map.entries();
  }

  #renew(entries: Iterable<readonly [K, V]>): void {
    this.#map = new Map(entries);
    this.#deleted = 0;
  }
}

/** As a `Set`; see {@link TransientMap}. */
export class TransientSet<T> implements Iterable<T> {
  readonly #entries = new TransientMap<T, true>();

  get size(): number {
    return this.#entries.size;
  }

  add(value: T): void {
    this.#entries.set(value, true);
  }

  has(value: T): boolean {
    return this.#entries.has(value);
  }

  delete(value: T): boolean {
    return this.#entries.delete(value);
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#entries.keys();
  }
}
