/**
 * Which lines of a file of keys open nothing any more, because a later line of the same import
 * stored their record anew.
 */
import { createHash } from 'node:crypto';
import { type LineName, labelOf, linesOf, type Members, nameOf, parseLine } from './jsonl.ts';

/** 2^27 bits: at ten million lines, one name in fourteen is kept for nothing. */
const SIEVE_BYTES = 16 * 1024 * 1024;

export class Superseded {
  /** The lines of the import that name what an earlier one may have named, by their label. */
  readonly #later = new Map<string, number[]>();
  readonly #failed = new Set<number>();
  #doneLine = 0;

  /** Reads the file once, and keeps of its names a bit each. Rejects with `FILE_ERROR`. */
  static async read(path: string): Promise<Superseded> {
    const superseded = new Superseded();
    const sieve = new Uint8Array(SIEVE_BYTES);
    for await (const { text } of linesOf(path)) superseded.#take(text, sieve);
    return superseded;
  }

  /** Whether a line with that name and number in the import is passed over. */
  has(name: LineName, line: unknown): boolean {
    const later = this.#later.get(labelOf(name)) ?? [];
    // A line that failed, or has no answer yet, may have left the earlier record as it was.
    const isStored = (one: number) => one <= this.#doneLine && !this.#failed.has(one);
    return typeof line === 'number' && later.some((one) => one > line && isStored(one));
  }

  #take(text: string | undefined, sieve: Uint8Array): void {
    let members: Members;
    let name: LineName | undefined;
    try {
      members = parseLine(text);
      name = members['key'] === undefined ? undefined : nameOf(members);
    } catch {
      // Whoever asks for the line's record says what is wrong with it.
      return;
    }
    const { done, failed = [], mended = [], line } = members;
    if (typeof done === 'number') {
      this.#doneLine = Math.max(this.#doneLine, done);
      for (const one of failed as number[]) this.#failed.add(one);
      for (const one of mended as number[]) this.#failed.delete(one);
    } else if (typeof line === 'number' && name !== undefined) {
      const label = labelOf(name);
      if (isFirst(label, sieve)) return;
      const later = this.#later.get(label);
      if (later === undefined) this.#later.set(label, [line]);
      else later.push(line);
    }
  }
}

/** Whether nothing of that label was there before; now and then false for what is the first. */
function isFirst(label: string, sieve: Uint8Array): boolean {
  const hash = createHash('sha256').update(label).digest().readUInt32LE();
  const at = (hash >>> 3) % SIEVE_BYTES;
  const bit = 1 << (hash & 7);
  const known = sieve[at] ?? 0;
  sieve[at] = known | bit;
  return (known & bit) === 0;
}
