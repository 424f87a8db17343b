import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  bindKeyring,
  checkStoreFormat,
  metaKey,
  readKeyring,
  readStoreId,
  STORE_FORMAT,
} from '../../lib/store/meta.ts';
import { outcomesOf, rejectsWith, value } from '../helpers/store-values.ts';
import type { Subject } from './store-suite.ts';

const MINE = Buffer.alloc(16, 1);
const THEIRS = Buffer.alloc(16, 2);

export function metaSuite(subject: Subject): void {
  describe('meta', () => {
    it('draws an ID once, whoever asks first', async () => {
      const { store } = subject;
      const asked = await Promise.all(Array.from({ length: 5 }, () => readStoreId(store)));
      const storeId = asked[0];
      assert.equal(storeId?.length, 16);
      for (const other of asked) assert.deepEqual(other, storeId);
      assert.deepEqual((await store.get(metaKey('store-id')))?.head, storeId);
    });

    it('writes its format, and refuses a newer one in words', async () => {
      const { store } = subject;
      await checkStoreFormat(store);
      await checkStoreFormat(store);
      const head = Buffer.alloc(4);
      head.writeUInt32BE(STORE_FORMAT + 1);
      await store.put(metaKey('format'), { head, body: Buffer.alloc(0), expiryMs: 0 });
      await assert.rejects(checkStoreFormat(store), /BAD_CONFIG|format 2.*knows 1/);
      await rejectsWith(checkStoreFormat(store), 'BAD_CONFIG');
    });

    it('belongs to the first keyring, whose epoch only grows', async () => {
      const { store } = subject;
      assert.equal(await readKeyring(store), undefined);
      assert.deepEqual(await bindKeyring(store, MINE, 3), { epoch: 3 });
      assert.deepEqual(await bindKeyring(store, MINE, 3), { epoch: 3 });
      await rejectsWith(bindKeyring(store, THEIRS, 9), 'KEYRING_MISMATCH');
      assert.deepEqual(await bindKeyring(store, MINE, 0xffff_ffff), { epoch: 0xffff_ffff });
      await rejectsWith(bindKeyring(store, MINE, 3), 'STALE_EPOCH');
      assert.deepEqual(await readKeyring(store), { keyringId: MINE, epoch: 0xffff_ffff });
    });

    it('lets exactly one of two keyrings have the store', async () => {
      const { store } = subject;
      const bound = [MINE, THEIRS].map((keyringId) => bindKeyring(store, keyringId, 1));
      assert.deepEqual((await outcomesOf(bound)).sort(), ['KEYRING_MISMATCH', 'done']);
    });

    it('ends with the newest epoch, in whatever order they come', async () => {
      const { store } = subject;
      const epochs = [4, 2, 5, 1, 3];
      const bound = epochs.map((epoch) => bindKeyring(store, MINE, epoch));
      const outcomes = await outcomesOf(bound);
      assert.equal(outcomes[epochs.indexOf(5)], 'done');
      for (const outcome of outcomes) assert.ok(['done', 'STALE_EPOCH'].includes(outcome), outcome);
      assert.equal((await readKeyring(store))?.epoch, 5);
    });

    it('refuses IDs and epochs that are none', async () => {
      const { store } = subject;
      await rejectsWith(bindKeyring(store, Buffer.alloc(15), 1), 'INVALID_FIELD');
      for (const epoch of [-1, 0, 1.5, 2 ** 32, Number.NaN]) {
        await rejectsWith(bindKeyring(store, MINE, epoch), 'INVALID_FIELD');
      }
      assert.equal(await readKeyring(store), undefined);
    });

    it('notices facts that are damaged', async () => {
      const { store } = subject;
      await store.delete(metaKey('store-id'));
      for (const name of ['format', 'store-id', 'keyring']) {
        await store.put(metaKey(name), value('', 0, 'x'));
      }
      await rejectsWith(checkStoreFormat(store), 'STORE_DAMAGED');
      await rejectsWith(readStoreId(store), 'STORE_DAMAGED');
      await rejectsWith(readKeyring(store), 'STORE_DAMAGED');
      await rejectsWith(bindKeyring(store, MINE, 1), 'STORE_DAMAGED');
    });
  });
}
