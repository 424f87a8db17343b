/**
 * A stream that is sealed in chunks: the STREAM construction of Hoang, Reyhanitabar, Rogaway and
 * Vizár (2015), "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", as age has
 * it (C2SP age.md, "Payload"), with AES-256-GCM. The nonce of a chunk is its number, 11 bytes
 * big-endian, and one byte that is 1 for the last chunk only: chunks that are cut off, reordered,
 * doubled or added are refused. A key must never seal more than one stream.
 */
import { openAead, sealAead, TAG_BYTES } from './aead.ts';
import { altered } from './altered.ts';

/** Bytes of text in each chunk but the last, which has 0 to this many. */
export const CHUNK_BYTES = 64 * 1024;
const SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES;
const NONCE_BYTES = 12;
const NO_BYTES = Buffer.alloc(0);

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUIntBE(number, NONCE_BYTES - 1 - 6, 6);
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0;
  return nonce;
}

/** Cuts text that arrives piece by piece into chunks of one size; the last has what is left. */
class Chunks {
  readonly #chunkBytes: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
  }

  /** The chunks that are complete now, and known not to be the last. */
  add(part: Buffer): Buffer[] {
    this.#waiting.push(part);
    this.#waitingBytes += part.length;
    if (this.#waitingBytes <= this.#chunkBytes) return [];
    const all = Buffer.concat(this.#waiting);
    const chunks: Buffer[] = [];
    let at = 0;
    for (; all.length - at > this.#chunkBytes; at += this.#chunkBytes) {
      chunks.push(all.subarray(at, at + this.#chunkBytes));
    }
    this.#waiting = [all.subarray(at)];
    this.#waitingBytes = all.length - at;
    return chunks;
  }

  last(): Buffer {
    return Buffer.concat(this.#waiting);
  }
}

/** Seals a text that arrives piece by piece. */
export class StreamSealer {
  readonly #key: Buffer;
  readonly #chunks = new Chunks(CHUNK_BYTES);
  #number = 0;

  /** @param key 32 bytes, used for this stream only */
  constructor(key: Buffer) {
    this.#key = key;
  }

  /** The sealed chunks that are complete now, if any. */
  add(text: Buffer): Buffer {
    return Buffer.concat(this.#chunks.add(text).map((chunk) => this.#seal(chunk, false)));
  }

  /** The last chunk. Nothing may come after it. */
  end(): Buffer {
    return this.#seal(this.#chunks.last(), true);
  }

  #seal(text: Buffer, isLast: boolean): Buffer {
    return sealAead(this.#key, nonceOf(this.#number++, isLast), NO_BYTES, NO_BYTES, text);
  }
}

/**
 * Opens a sealed stream, chunk after chunk.
 *
 * @param key 32 bytes
 * @throws EncServerError `ALTERED` as soon as a chunk is not what was sealed in its place, or the
 *   end is missing; what came before is authentic, but may be incomplete
 */
export async function* openStream(
  key: Buffer,
  sealed: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const chunks = new Chunks(SEALED_CHUNK_BYTES);
  let number = 0;
  for await (const part of sealed) {
    for (const chunk of chunks.add(part)) {
      yield openAead(key, nonceOf(number++, false), NO_BYTES, chunk);
    }
  }
  const last = openAead(key, nonceOf(number, true), NO_BYTES, chunks.last());
  // An empty last chunk after full ones would be a second encoding of the same text: refused, as in
  // age.
  if (last.length === 0 && number > 0) throw altered('the stream has an empty end');
  yield last;
}
