/** Chunks below this size are gathered, in bytes. */
const SMALL_CHUNK_BYTES = 512;
/** Size of the blocks that small chunks are gathered in, in bytes. */
const BLOCK_BYTES = 4096;

/**
 * Bytes in the order in which they arrived, taken out in pieces of any size.
 *
 * Invariant: bytes pushed = bytes taken + `bytes`.
 *
 * Chunks are kept by reference. Small ones behind others are the exception: a Buffer object takes
 * more memory than its few bytes, so a sender of single bytes could occupy hundreds of times what
 * is counted. They are gathered into blocks. A byte is thus copied at most twice (gathered,
 * joined), however the bytes arrive; `copiedBytes` lets a test verify that.
 */
export class ByteQueue {
  #chunks: Buffer[] = [];
  /**
   * Index of the first chunk that is not used up; those before it are dropped from time to time.
   */
  #first = 0;
  /** Bytes already taken from the first chunk. */
  #offset = 0;
  #bytes = 0;
  #block: Buffer | undefined;
  #blockUsed = 0;
  #copiedBytes = 0;

  /** Bytes in the queue. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes copied so far. */
  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  /** Appends a chunk, whose bytes must not change any more. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.#bytes === 0 || chunk.length >= SMALL_CHUNK_BYTES) this.#chunks.push(chunk);
    else this.#gather(chunk);
    this.#bytes += chunk.length;
  }

  /** What is left of the first chunk; empty when the queue is. */
  front(): Buffer {
    const first = this.#chunks[this.#first];
    return first === undefined ? Buffer.alloc(0) : first.subarray(this.#offset);
  }

  /** The first 4 bytes as a big-endian number; that many must be there. */
  peekU32(): number {
    const first = this.#chunks[this.#first];
    const isInOne = first !== undefined && first.length - this.#offset >= 4;
    return isInOne ? first.readUInt32BE(this.#offset) : this.peek(4).readUInt32BE(0);
  }

  /** The first `length` bytes, which stay in the queue; that many must be there. */
  peek(length: number): Buffer {
    const first = this.#chunks[this.#first];
    if (first !== undefined && first.length - this.#offset >= length) {
      return first.subarray(this.#offset, this.#offset + length);
    }
    const joined = Buffer.allocUnsafe(length);
    let from = this.#offset;
    let filled = 0;
    for (let index = this.#first; filled < length; index++) {
      filled += (this.#chunks[index] as Buffer).copy(joined, filled, from);
      from = 0;
    }
    this.#copiedBytes += length;
    return joined;
  }

  /** Takes the first `length` bytes out: a slice if they lie in one chunk, else a copy. */
  take(length: number): Buffer {
    const taken = this.peek(length);
    this.#bytes -= length;
    let left = length;
    for (;;) {
      const first = this.#chunks[this.#first];
      if (first === undefined || left < first.length - this.#offset) break;
      left -= first.length - this.#offset;
      this.#first++;
      this.#offset = 0;
    }
    this.#offset += left;
    this.#dropUsed();
    return taken;
  }

  /** Releases everything. */
  clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#offset = 0;
    this.#bytes = 0;
    this.#block = undefined;
  }

  #gather(chunk: Buffer): void {
    const last = this.#chunks.at(-1) as Buffer;
    const end = this.#blockUsed + chunk.length;
    if (this.#block !== undefined && last.buffer === this.#block.buffer && end <= BLOCK_BYTES) {
      this.#block.set(chunk, this.#blockUsed);
      this.#chunks[this.#chunks.length - 1] = this.#block.subarray(0, end);
      this.#blockUsed = end;
    } else {
      // A block with memory of its own, so that it can be told whether a chunk lies in it. It is
      // never reused: what was taken out of it may still be read.
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#block.set(chunk, 0);
      this.#chunks.push(this.#block.subarray(0, chunk.length));
      this.#blockUsed = chunk.length;
    }
    this.#copiedBytes += chunk.length;
  }

  /** Drops used-up chunks once they are half of all, so that each chunk is moved about once. */
  #dropUsed(): void {
    if (this.#first === this.#chunks.length) {
      this.#chunks = [];
      this.#first = 0;
    } else if (this.#first >= 32 && this.#first * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#first);
      this.#first = 0;
    }
  }
}
