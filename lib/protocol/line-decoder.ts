import { EncServerError } from '../errors.ts';
import { ByteQueue } from './byte-queue.ts';

const LF = 0x0a;
const CR = 0x0d;

/**
 * Cuts a stream of bytes into lines. Pure: no sockets, no timers.
 *
 * A line ends with LF; one CR before it belongs to the end. Invariants, whatever is pushed in
 * whatever pieces:
 * - every byte is searched once and copied at most three times;
 * - once `next` has returned undefined, `bufferedBytes` <= `lineBytesMax`;
 * - after an error nothing is held, nothing is taken in, and the same error is thrown again.
 */
export class LineDecoder {
  readonly #lineBytesMax: number;
  /** The line that has begun; it contains no LF. */
  readonly #begun = new ByteQueue();
  readonly #unsearched = new ByteQueue();
  #error: EncServerError | undefined;

  /** @param lineBytesMax Longest line without its LF. A CR counts. */
  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Bytes that were pushed and not yet given out. */
  get bufferedBytes(): number {
    return this.#begun.bytes + this.#unsearched.bytes;
  }

  /** Takes a chunk in by reference; its bytes must not change any more. */
  push(chunk: Buffer): void {
    if (this.#error === undefined) this.#unsearched.push(chunk);
  }

  /**
   * The next whole line without its end, or undefined while more bytes are needed.
   *
   * @throws EncServerError `LINE_TOO_LONG`; the connection must be closed.
   */
  next(): Buffer | undefined {
    if (this.#error !== undefined) throw this.#error;
    while (this.#unsearched.bytes > 0) {
      const chunk = this.#unsearched.front();
      const end = chunk.indexOf(LF);
      this.#begun.push(this.#unsearched.take(end === -1 ? chunk.length : end));
      if (this.#begun.bytes > this.#lineBytesMax) this.#fail();
      if (end === -1) continue;
      this.#unsearched.take(1);
      return this.#takeLine();
    }
    return undefined;
  }

  /**
   * At the end of input: the next line, where a non-empty rest without a line end counts as one.
   * Undefined when nothing is left.
   *
   * @throws EncServerError `LINE_TOO_LONG`.
   */
  end(): Buffer | undefined {
    return this.next() ?? (this.#begun.bytes > 0 ? this.#takeLine() : undefined);
  }

  #takeLine(): Buffer {
    const line = this.#begun.take(this.#begun.bytes);
    return line.at(-1) === CR ? line.subarray(0, -1) : line;
  }

  #fail(): never {
    this.#begun.clear();
    this.#unsearched.clear();
    const words = `the line has more than ${this.#lineBytesMax} bytes`;
    this.#error = new EncServerError('LINE_TOO_LONG', words);
    throw this.#error;
  }
}
