/** Bounds that stand in two places because one may not import, or cannot use, the other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STORE_KEY_BYTES } from '../../lib/crypto/pseudonym.ts';
import { listQuery } from '../../lib/fe/surfaces/http/schemas.ts';
import { FOREIGN_TOKEN_BYTES_MAX, LIST_IDS_MAX } from '../../lib/protocol/limits.ts';
import { SCAN_LIMIT_MAX, STORE_KEY_BYTES_MAX } from '../../lib/store/keys.ts';
import { RECORD_KEY_BYTES } from '../../lib/store/store.ts';

test('a store takes keys of the length that the front end derives', () => {
  assert.equal(RECORD_KEY_BYTES, STORE_KEY_BYTES);
  assert.equal(STORE_KEY_BYTES_MAX, 1 + FOREIGN_TOKEN_BYTES_MAX);
});

test('a page of IDs is as large over HTTP as in frames, and one of the store can hold it', () => {
  assert.ok(listQuery.safeParse({ limit: `${LIST_IDS_MAX}` }).success);
  assert.ok(!listQuery.safeParse({ limit: `${LIST_IDS_MAX + 1}` }).success);
  assert.ok(LIST_IDS_MAX <= SCAN_LIMIT_MAX);
});
