/**
 * Random bytes from the system's generator, drawn in small pools: one call for 4 KiB costs little
 * more than one for 32 bytes. The pool is small, and wiped as it is used, so that memory holds few
 * future keys and no past ones.
 */

import { randomFillSync } from 'node:crypto';
import { KEY_BYTES } from '../protocol/limits.ts';

const POOL_BYTES = 4096;

const pool = Buffer.alloc(POOL_BYTES);
let taken = POOL_BYTES;

/** `n` fresh random bytes (a whole number from 0), in a buffer of the caller's own. */
export function randomBytesPooled(n: number): Buffer {
  if (n > POOL_BYTES) return randomFillSync(Buffer.allocUnsafe(n));
  if (taken + n > POOL_BYTES) {
    randomFillSync(pool);
    taken = 0;
  }
  const fresh = Buffer.allocUnsafe(n);
  pool.copy(fresh, 0, taken, taken + n);
  pool.fill(0, taken, taken + n);
  taken += n;
  return fresh;
}

/** A fresh key or secret: 32 random bytes. */
export function randomKey(): Buffer {
  return randomBytesPooled(KEY_BYTES);
}
