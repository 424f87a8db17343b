/** Times of expiry, as they are shown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXPIRY_MS_MAX, expiryText } from '../../lib/protocol/expiry.ts';

test('a time is shown as a date, and one after the last date as that', () => {
  assert.equal(expiryText(0), '1970-01-01T00:00:00.000Z');
  for (const expiryMs of [EXPIRY_MS_MAX, EXPIRY_MS_MAX + 1, Number.MAX_SAFE_INTEGER]) {
    assert.equal(expiryText(expiryMs), '+275760-09-13T00:00:00.000Z');
  }
});
