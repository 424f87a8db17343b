import assert from 'node:assert/strict';
import { EncServerError, type ErrorCode } from '../../lib/errors.ts';

/** Asserts that a promise rejects with this code, and gives the error back. */
export async function rejectsWith(
  promise: Promise<unknown>,
  code: ErrorCode,
): Promise<EncServerError> {
  let thrown: unknown;
  await assert.rejects(promise, (error) => {
    thrown = error;
    return true;
  });
  assert.ok(thrown instanceof EncServerError, String(thrown));
  assert.equal(thrown.code, code, thrown.describe());
  return thrown;
}
