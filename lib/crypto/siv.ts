/**
 * AES-SIV (RFC 5297): encryption that needs no nonce, so that equal texts give equal bytes. It
 * seals user IDs and wraps keys, which are short.
 *
 * node:crypto has no AES-SIV. This is the RFC's construction over its AES in CBC and ECB mode,
 * through handles that live as long as their key: a call costs 0.5 µs, and AES runs in OpenSSL, in
 * constant time where the processor has AES instructions. The tests check it against the RFC's
 * vectors and, on random input, against @noble/ciphers.
 */

import { type Cipher, createCipheriv, timingSafeEqual } from 'node:crypto';
import { altered } from './altered.ts';

/** The synthetic initialization vector, which is the tag too, in bytes. */
export const SIV_BYTES = 16;

const BLOCK_BYTES = 16;
/** The polynomial that GF(2^128) is reduced by when a block is doubled (RFC 5297, 2.3). */
const REDUCTION = 0x87;
/** First byte of the padding of a part block (RFC 5297, 2.1). */
const PAD_START = 0x80;
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

/** The state of S2V after the associated data, before the text: worth keeping where they recur. */
export type AssociatedState = Buffer & { readonly __brand: 'S2V' };

export class Siv {
  readonly #mac: Cipher;
  readonly #stream: Cipher;
  /** Subkeys for a last block that is whole, and for one that is padded (SP 800-38B, 6.1). */
  readonly #wholeKey: Buffer;
  readonly #paddedKey: Buffer;
  /** The MAC of the zero block, which every S2V starts with. */
  readonly #zeroMac: Buffer;
  /** The last block that the MAC's handle put out, from which it continues. */
  #chained: Buffer;

  /** @param key 64 bytes for AES-256, 32 for AES-128: the MAC's key first (RFC 5297, 2.6) */
  constructor(key: Buffer) {
    const half = key.length / 2;
    const cipher = half === 32 ? 'aes-256' : 'aes-128';
    const macKey = key.subarray(0, half);
    this.#mac = createCipheriv(`${cipher}-cbc`, macKey, ZERO_BLOCK).setAutoPadding(false);
    this.#stream = createCipheriv(`${cipher}-ecb`, key.subarray(half), null).setAutoPadding(false);
    this.#chained = this.#mac.update(ZERO_BLOCK);
    this.#wholeKey = double(this.#chained);
    this.#paddedKey = double(this.#wholeKey);
    this.#zeroMac = this.#cmac(ZERO_BLOCK);
  }

  /** Works the associated data in. Each datum counts: none differs from one empty datum. */
  associate(...associated: readonly Buffer[]): AssociatedState {
    let state = this.#zeroMac;
    for (const datum of associated) {
      state = double(state);
      xorInto(state, this.#cmac(datum), 0);
    }
    return state as AssociatedState;
  }

  /** V (16 bytes) ‖ C (as long as the text). */
  seal(text: Buffer, state: AssociatedState): Buffer {
    const sealed = Buffer.allocUnsafe(SIV_BYTES + text.length);
    this.tag(text, state).copy(sealed);
    text.copy(sealed, SIV_BYTES);
    this.#applyStream(sealed.subarray(0, SIV_BYTES), sealed.subarray(SIV_BYTES));
    return sealed;
  }

  /** @throws EncServerError `ALTERED` if they were not sealed under this key with these data */
  open(sealed: Buffer, state: AssociatedState): Buffer {
    if (sealed.length < SIV_BYTES) throw altered('sealed bytes are shorter than their tag');
    const tag = sealed.subarray(0, SIV_BYTES);
    const text = Buffer.from(sealed.subarray(SIV_BYTES));
    this.#applyStream(tag, text);
    if (timingSafeEqual(this.tag(text, state), tag)) return text;
    text.fill(0);
    throw altered('sealed bytes do not fit their tag');
  }

  /**
   * V alone, 16 bytes, which is what {@link seal} begins with. This is the end of S2V (RFC 5297,
   * 2.4): the text is combined with the state, and all of it is MACed.
   */
  tag(text: Buffer, state: AssociatedState): Buffer {
    if (text.length >= BLOCK_BYTES) {
      const mixed = Buffer.from(text);
      xorInto(mixed, state, text.length - BLOCK_BYTES);
      return this.#cmac(mixed);
    }
    const mixed = double(state);
    xorInto(mixed, text, 0);
    mixed[text.length] = (mixed[text.length] as number) ^ PAD_START;
    return this.#cmac(mixed);
  }

  /**
   * AES-CMAC (NIST SP 800-38B, 6.2), in one call of the cipher. The handle continues from the last
   * block it put out, whereas a new message must start from zeros: so that block is mixed into the
   * first one, and the two cancel out.
   */
  #cmac(message: Buffer): Buffer {
    const lastAt = Math.max(0, Math.ceil(message.length / BLOCK_BYTES) - 1) * BLOCK_BYTES;
    const blocks = Buffer.allocUnsafe(lastAt + BLOCK_BYTES).fill(0, lastAt);
    message.copy(blocks);
    if (message.length === blocks.length) {
      xorInto(blocks, this.#wholeKey, lastAt);
    } else {
      blocks[message.length] = PAD_START;
      xorInto(blocks, this.#paddedKey, lastAt);
    }
    xorInto(blocks, this.#chained, 0);
    this.#chained = this.#mac.update(blocks).subarray(lastAt);
    return Buffer.from(this.#chained);
  }

  /** Counter mode (RFC 5297, 2.5); the same operation encrypts and decrypts. */
  #applyStream(tag: Buffer, text: Buffer): void {
    const blocks = Math.ceil(text.length / BLOCK_BYTES);
    const counters = Buffer.allocUnsafe(blocks * BLOCK_BYTES);
    for (let index = 0; index < blocks; index++) {
      const at = index * BLOCK_BYTES;
      tag.copy(counters, at);
      // Two bits are cleared, so that the counter never carries out of its last 32 bits.
      counters[at + 8] = (counters[at + 8] as number) & 0x7f;
      counters[at + 12] = (counters[at + 12] as number) & 0x7f;
      counters.writeUInt32BE(counters.readUInt32BE(at + 12) + index, at + 12);
    }
    if (blocks > 0) xorInto(text, this.#stream.update(counters).subarray(0, text.length), 0);
  }
}

/** A fresh block: the given one times x in GF(2^128) (RFC 5297, 2.3). */
function double(block: Buffer): Buffer {
  const doubled = Buffer.allocUnsafe(BLOCK_BYTES);
  let carry = 0;
  for (let at = BLOCK_BYTES - 1; at >= 0; at--) {
    const byte = block[at] as number;
    doubled[at] = ((byte << 1) & 0xff) | carry;
    carry = byte >>> 7;
  }
  // Arithmetic instead of a branch: the bit is secret.
  doubled[BLOCK_BYTES - 1] = (doubled[BLOCK_BYTES - 1] as number) ^ (REDUCTION * carry);
  return doubled;
}

/** XORs `bytes` into `target`, from `at` on. */
function xorInto(target: Buffer, bytes: Buffer, at: number): void {
  for (let index = 0; index < bytes.length; index++) {
    target[at + index] = (target[at + index] as number) ^ (bytes[index] as number);
  }
}
