import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { stateOf } from '../../lib/fe/readiness.ts';

test('a back end that turns an older keyring away is not what is missing', async () => {
  const words = 'the keyring has epoch 2, and the store has seen 3';
  for (const [error, missing] of [
    [new EncServerError('STALE_EPOCH', words), "keyring: older than the store's"],
    [new EncServerError('UNAVAILABLE', 'refused'), 'back end: refused'],
  ] as const) {
    const be = { info: () => Promise.reject(error), lastError: error };
    const keeper = { keyring: { epoch: 2 } };
    const state = await stateOf(be as never, keeper as never, undefined);
    assert.deepEqual(state.missing, [missing]);
  }
});
