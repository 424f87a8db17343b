import { randomBytes } from 'node:crypto';
import { REVISION_BYTES } from './store.ts';

/** Bytes drawn at once: drawing 8 bytes costs about the same as drawing some thousand. */
const POOL_BYTES = 4096;

let pool: Buffer = Buffer.alloc(0);
let taken = 0;

/** A fresh revision of 8 random bytes. Revisions are public, so the pool is not wiped. */
export function drawRevision(): Buffer {
  if (taken + REVISION_BYTES > pool.length) {
    pool = randomBytes(POOL_BYTES);
    taken = 0;
  }
  taken += REVISION_BYTES;
  return pool.subarray(taken - REVISION_BYTES, taken);
}
