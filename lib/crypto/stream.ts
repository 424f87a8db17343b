/**
 * A stream that is sealed in chunks: the STREAM construction of Hoang, Reyhanitabar, Rogaway and
 * Vizár (2015), "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", as age
 * has it (C2SP age.md, "Payload"), with AES-256-GCM. The nonce of a chunk is its number, 11 bytes
 * big-endian, and one byte that is 1 for the last chunk alone: chunks that are cut off, put in
 * another order, doubled or added are refused. A key seals one stream, ever.
 */
import { openAead, sealAead, TAG_BYTES } from './aead.ts';
import { altered } from './altered.ts';

/** Bytes of the text in each chunk but the last, which has 0 to as many. */
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

/** Seals a text that comes bit by bit. */
export class StreamSealer {
  readonly #key: Buffer;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #chunks = 0;

  /** @param key 32 bytes, of this stream alone */
  constructor(key: Buffer) {
    this.#key = key;
  }

  /** The chunks that are whole now, if any. */
  add(text: Buffer): Buffer {
    this.#waiting.push(text);
    this.#waitingBytes += text.length;
    // A chunk is sealed once it is known not to be the last.
    if (this.#waitingBytes <= CHUNK_BYTES) return NO_BYTES;
    const all = Buffer.concat(this.#waiting);
    const sealed: Buffer[] = [];
    let at = 0;
    for (; all.length - at > CHUNK_BYTES; at += CHUNK_BYTES) {
      sealed.push(this.#seal(all.subarray(at, at + CHUNK_BYTES), false));
    }
    this.#waiting = [all.subarray(at)];
    this.#waitingBytes = all.length - at;
    return Buffer.concat(sealed);
  }

  /** The last chunk. Nothing may come after it. */
  end(): Buffer {
    return this.#seal(Buffer.concat(this.#waiting), true);
  }

  #seal(text: Buffer, isLast: boolean): Buffer {
    return sealAead(this.#key, nonceOf(this.#chunks++, isLast), NO_BYTES, NO_BYTES, text);
  }
}

/**
 * Opens a sealed stream, chunk after chunk.
 *
 * @param key 32 bytes
 * @throws ALTERED as soon as a chunk is not what was sealed in its place, or the end is missing;
 *   what came before was sealed so, and may not be all of it
 */
export async function* openStream(
  key: Buffer,
  sealed: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  let waiting: Buffer = NO_BYTES;
  let number = 0;
  for await (const part of sealed) {
    waiting = Buffer.concat([waiting, part]);
    let at = 0;
    for (; waiting.length - at > SEALED_CHUNK_BYTES; at += SEALED_CHUNK_BYTES) {
      const chunk = waiting.subarray(at, at + SEALED_CHUNK_BYTES);
      yield openAead(key, nonceOf(number++, false), NO_BYTES, chunk);
    }
    waiting = waiting.subarray(at);
  }
  const last = openAead(key, nonceOf(number, true), NO_BYTES, waiting);
  // An empty last chunk after whole ones is another way to write the same: refused, as in age.
  if (last.length === 0 && number > 0) throw altered('the stream has an empty end');
  yield last;
}
