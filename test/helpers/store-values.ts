/** Keys, values and folders for the tests of the stores. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EncServerError, type ErrorCode } from '../../lib/errors.ts';
import { TABLE, type Value } from '../../lib/store/store.ts';

/** A key of the records' table, 27 bytes, in the order of `number`. */
export function recordKey(number: number, group = 0): Buffer {
  const key = Buffer.alloc(27, 0x5a);
  key[0] = TABLE.RECORDS;
  key[1] = group;
  key.writeUInt32BE(number, 2);
  return key;
}

/** A value; without an expiry it stays. */
export function value(body: Buffer | string, expiryMs = 0, head = 'head'): Value {
  return { head: Buffer.from(head), body: Buffer.from(body), expiryMs };
}

/** Bytes that differ from place to place, so that a mixed-up body does not look right. */
export function patternBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + seed) & 0xff;
  return bytes;
}

/** Asserts that a promise rejects with this code. */
export async function rejectsWith(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (thrown: unknown) => {
    assert.ok(thrown instanceof EncServerError, String(thrown));
    assert.equal(thrown.code, code, thrown.message);
    return true;
  });
}

/** Codes of the rejected ones, `done` for the others. */
export async function outcomesOf(promises: readonly Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((one) => {
    if (one.status === 'fulfilled') return 'done';
    return one.reason instanceof EncServerError ? one.reason.code : String(one.reason);
  });
}

/** Runs with a fresh folder, which is removed afterwards. */
export async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'enc-store-'));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
