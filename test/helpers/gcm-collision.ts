/**
 * One ciphertext that AES-256-GCM opens under two keys: the tag is linear in each block, so that
 * one block can be chosen to make both tags the same. Dodis, Grubbs, Ristenpart and Woodage,
 * "Fast Message Franking" (2018); Albertini and others, "How to Abuse and Fix Authenticated
 * Encryption Without Key Commitment" (2022). Block numbers and GHASH: NIST SP 800-38D.
 */
import { createCipheriv } from 'node:crypto';

const BLOCK_BYTES = 16;
/** x^128 + x^7 + x^2 + x + 1, in GCM's order of bits: the first bit is the highest. */
const REDUCTION = 0xe1n << 120n;
const ONE = 1n << 127n;

export interface Collision {
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/**
 * @param keys two AES keys of 32 bytes
 * @param nonce 12 bytes
 * @param ciphertext whole blocks; the one numbered `free` is replaced
 */
export function collide(
  keys: readonly [Buffer, Buffer],
  nonce: Buffer,
  associated: Buffer,
  ciphertext: Buffer,
  free: number,
): Collision {
  const blocks = blocksOf(ciphertext);
  blocks[free] = 0n;
  const lengths = (BigInt(associated.length * 8) << 64n) | BigInt(ciphertext.length * 8);
  const all = [...blocksOf(associated), ...blocks, lengths];
  const at = blocksOf(associated).length + free;
  const [first, second] = keys.map((key) => {
    const hash = encryptBlock(key, Buffer.alloc(BLOCK_BYTES));
    const mask = encryptBlock(key, Buffer.concat([nonce, Buffer.of(0, 0, 0, 1)]));
    const power = powerOf(hash, all.length - at);
    return { rest: ghash(hash, all) ^ mask, power };
  }) as [Half, Half];
  // rest1 + X power1 = rest2 + X power2, where + is the exclusive or.
  const chosen = multiply(first.rest ^ second.rest, inverse(first.power ^ second.power));
  blocks[free] = chosen;
  const tag = first.rest ^ multiply(chosen, first.power);
  return { ciphertext: Buffer.concat(blocks.map(bytesOf)), tag: bytesOf(tag) };
}

interface Half {
  /** The tag without the free block. */
  readonly rest: bigint;
  /** What the free block is multiplied by. */
  readonly power: bigint;
}

function encryptBlock(key: Buffer, block: Buffer): bigint {
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  return numberOf(cipher.update(block));
}

function ghash(hash: bigint, blocks: readonly bigint[]): bigint {
  return blocks.reduce((sum, block) => multiply(sum ^ block, hash), 0n);
}

/** SP 800-38D, algorithm 1. */
function multiply(x: bigint, y: bigint): bigint {
  let [product, shifted] = [0n, y];
  for (let bit = 127n; bit >= 0n; bit--) {
    if ((x >> bit) & 1n) product ^= shifted;
    shifted = shifted & 1n ? (shifted >> 1n) ^ REDUCTION : shifted >> 1n;
  }
  return product;
}

function powerOf(base: bigint, exponent: number): bigint {
  let power = ONE;
  for (let count = 0; count < exponent; count++) power = multiply(power, base);
  return power;
}

/** Fermat: x^(2^128 - 2). */
function inverse(x: bigint): bigint {
  let [result, square] = [ONE, x];
  for (let bit = 1; bit < 128; bit++) {
    square = multiply(square, square);
    result = multiply(result, square);
  }
  return result;
}

/** Blocks of 16 bytes, the last one filled up with zeros. */
function blocksOf(bytes: Buffer): bigint[] {
  const count = Math.ceil(bytes.length / BLOCK_BYTES);
  const padded = Buffer.concat([bytes, Buffer.alloc(count * BLOCK_BYTES - bytes.length)]);
  return Array.from({ length: count }, (_none, index) =>
    numberOf(padded.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)),
  );
}

function numberOf(block: Buffer): bigint {
  return BigInt(`0x${block.toString('hex')}`);
}

function bytesOf(block: bigint): Buffer {
  return Buffer.from(block.toString(16).padStart(2 * BLOCK_BYTES, '0'), 'hex');
}
