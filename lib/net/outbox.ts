import type { Socket } from 'node:net';

/** Buffers up to this together are joined: one copy is cheaper than a second segment. */
const JOIN_BYTES_MAX = 64 * 1024;
/** Larger buffers are written in slices, so that a slow receiver can be told from a dead one. */
const WRITE_SLICE_BYTES = 256 * 1024;

interface Part {
  readonly buffer: Buffer;
  /** Bytes of the budget that are given back once the buffer is written. */
  release: number;
}

/** The data to be sent on one socket, one write at a time; what is added meanwhile is joined. */
export class Outbox {
  readonly #socket: Socket;
  readonly #written: (release: number) => void;
  #parts: Part[] = [];
  #reservedBytes = 0;
  #unsentBytes = 0;
  #progressAtMs = 0;
  #writing = false;

  /** `written` is told, after each write, how much of the budget to give back. */
  constructor(socket: Socket, written: (release: number) => void) {
    this.#socket = socket;
    this.#written = written;
  }

  /** Bytes that the receiver has not taken. */
  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  /** When the receiver last took something, or there was nothing to take, on the clock of `performance.now()`. */
  get progressAtMs(): number {
    return this.#progressAtMs;
  }

  /** Sends buffers, at least one byte together; `release` bytes go back when the last is out. */
  push(buffers: readonly Buffer[], release: number): void {
    if (this.#unsentBytes === 0) this.#progressAtMs = performance.now();
    for (const buffer of buffers) {
      if (buffer.length === 0) continue;
      this.#parts.push({ buffer, release: 0 });
      this.#unsentBytes += buffer.length;
    }
    const last = this.#parts.at(-1);
    if (last !== undefined) last.release += release;
    this.#reservedBytes += release;
    if (this.#writing) return;
    this.#writing = true;
    // Replies of the same turn of the event loop leave in one write.
    process.nextTick(() => this.#write());
  }

  /** Forgets everything, as the socket is gone. Returns the bytes of the budget to give back. */
  clear(): number {
    const reservedBytes = this.#reservedBytes;
    this.#parts = [];
    this.#reservedBytes = 0;
    return reservedBytes;
  }

  #write(): void {
    const { data, release } = this.#next();
    if (data === undefined || this.#socket.destroyed) {
      this.#writing = false;
      return;
    }
    this.#socket.write(data, () => {
      // After an error nothing counts as written: `clear` gives everything back.
      if (this.#socket.destroyed) return;
      this.#unsentBytes -= data.length;
      this.#progressAtMs = performance.now();
      this.#reservedBytes -= release;
      this.#write();
      this.#written(release);
    });
  }

  #next(): { data: Buffer | undefined; release: number } {
    const first = this.#parts[0];
    if (first === undefined) return { data: undefined, release: 0 };
    if (first.buffer.length > WRITE_SLICE_BYTES) {
      const rest = first.buffer.subarray(WRITE_SLICE_BYTES);
      this.#parts[0] = { buffer: rest, release: first.release };
      return { data: first.buffer.subarray(0, WRITE_SLICE_BYTES), release: 0 };
    }
    if (this.#parts.length === 1) {
      this.#parts = [];
      return { data: first.buffer, release: first.release };
    }
    const taken = this.#parts.splice(0, this.#joinable());
    let release = 0;
    for (const part of taken) release += part.release;
    return { data: Buffer.concat(taken.map((part) => part.buffer)), release };
  }

  /** How many of the waiting buffers go out as one: at least the first. */
  #joinable(): number {
    let bytes = 0;
    let count = 0;
    for (const part of this.#parts) {
      bytes += part.buffer.length;
      if (bytes > JOIN_BYTES_MAX) return Math.max(1, count);
      count++;
    }
    return count;
  }
}
