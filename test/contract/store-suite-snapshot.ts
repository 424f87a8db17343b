import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TABLE } from '../../lib/store/store.ts';
import { patternBytes, recordKey, rejectsWith, value } from '../helpers/store-values.ts';
import type { Subject } from './store-suite.ts';

const RECORDS = Buffer.from([TABLE.RECORDS]);

export function snapshotSuite(subject: Subject): void {
  describe('snapshots', () => {
    it('shows one moment, whatever is written later', async () => {
      const { store } = subject;
      const large = patternBytes(9000);
      await store.put(recordKey(1), value('one'));
      await store.put(recordKey(2), value(large));
      await store.put(recordKey(3), value('three'));
      const snapshot = await store.snapshot();
      await store.put(recordKey(1), value(patternBytes(9000, 5)));
      await store.put(recordKey(2), value('two'));
      await store.delete(recordKey(3));
      await store.put(recordKey(4), value('four'));

      assert.equal((await snapshot.get(recordKey(1)))?.body?.toString(), 'one');
      assert.ok((await snapshot.get(recordKey(2)))?.body?.equals(large));
      const cut = await snapshot.get(recordKey(2), 8999);
      assert.deepEqual([cut?.bodyBytes, cut?.body], [9000, undefined]);
      assert.equal((await snapshot.get(recordKey(3)))?.body?.toString(), 'three');
      assert.equal(await snapshot.get(recordKey(4)), undefined);
      const { items, more } = await snapshot.scan(RECORDS, recordKey(1), 1);
      assert.deepEqual([items.length, items[0]?.bodyBytes, more], [1, 9000, true]);
      assert.equal((await snapshot.scan(RECORDS, undefined, 10)).items.length, 3);
      assert.equal((await store.get(recordKey(2)))?.body?.toString(), 'two');
      await snapshot.close();
    });

    it('refuses what the store refuses, and everything once closed', async () => {
      const snapshot = await subject.store.snapshot();
      await rejectsWith(snapshot.get(Buffer.from([9, 9])), 'INVALID_FIELD');
      await rejectsWith(snapshot.scan(RECORDS, undefined, 0), 'INVALID_FIELD');
      await snapshot.close();
      await snapshot.close();
      await rejectsWith(snapshot.get(recordKey(1)), 'UNAVAILABLE');
      await rejectsWith(snapshot.scan(RECORDS, undefined, 1), 'UNAVAILABLE');
    });

    it('is refused by a closed store, and ends with its store', async () => {
      const { store } = subject;
      const snapshot = await store.snapshot();
      await store.close();
      await rejectsWith(store.snapshot(), 'UNAVAILABLE');
      await rejectsWith(snapshot.get(recordKey(1)), 'UNAVAILABLE');
      await rejectsWith(snapshot.scan(RECORDS, undefined, 1), 'UNAVAILABLE');
      await snapshot.close();
    });
  });
}
