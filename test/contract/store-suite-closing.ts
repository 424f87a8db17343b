import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IF_ABSENT, ifRevision, TABLE } from '../../lib/store/store.ts';
import {
  outcomesOf,
  patternBytes,
  recordKey,
  rejectsWith,
  value,
} from '../helpers/store-values.ts';
import type { Subject } from './store-suite.ts';

const RECORDS = Buffer.from([TABLE.RECORDS]);

export function closingSuite(subject: Subject): void {
  describe('closing', () => {
    it('finishes what is under way', async () => {
      const { store } = subject;
      await store.put(recordKey(1000), value(patternBytes(9000)));
      const work: Promise<unknown>[] = [store.get(recordKey(1000)), store.head(recordKey(1000))];
      for (let number = 0; number < 20; number++) {
        work.push(store.put(recordKey(number % 5), value(`${number}`)));
      }
      work.push(store.scan(RECORDS, undefined, 10), store.delete(recordKey(1000)));
      const closing = store.close();
      await rejectsWith(store.put(recordKey(2000), value('late')), 'UNAVAILABLE');
      assert.deepEqual(await outcomesOf(work), Array(work.length).fill('done'));
      await closing;
    });

    it('refuses everything once closed, and closes twice', async () => {
      const { store } = subject;
      await store.put(recordKey(1), value('x'));
      await store.close();
      await store.close();
      await rejectsWith(store.put(recordKey(1), value('x')), 'UNAVAILABLE');
      await rejectsWith(store.get(recordKey(1)), 'UNAVAILABLE');
      await rejectsWith(store.getMany([recordKey(1)]), 'UNAVAILABLE');
      await rejectsWith(store.head(recordKey(1)), 'UNAVAILABLE');
      await rejectsWith(store.delete(recordKey(1)), 'UNAVAILABLE');
      await rejectsWith(store.scan(RECORDS, undefined, 1), 'UNAVAILABLE');
      await rejectsWith(store.stats(), 'UNAVAILABLE');
      assert.equal(store.health().ok, false);
    });

    it('has everything after it was opened again', async (t) => {
      const { store, reopen } = subject;
      if (reopen === undefined) return t.skip('nothing outlives this store');
      const large = patternBytes(100_000);
      const first = await store.put(recordKey(1), value('one', Date.UTC(2100, 0), 'top'));
      await store.put(recordKey(2), value(large));
      await store.put(recordKey(3), value('three'));
      await store.delete(recordKey(3));
      const again = await reopen();
      const one = await again.get(recordKey(1));
      assert.deepEqual([one?.head.toString(), one?.body?.toString()], ['top', 'one']);
      assert.deepEqual([one?.expiryMs, one?.revision], [Date.UTC(2100, 0), first.revision]);
      assert.ok((await again.get(recordKey(2)))?.body?.equals(large));
      assert.equal(await again.get(recordKey(3)), undefined);
      await again.put(recordKey(1), value('new'), ifRevision(first.revision));
      await rejectsWith(again.put(recordKey(2), value('x'), IF_ABSENT), 'CONFLICT');
      assert.ok((await again.stats()).records >= 1);
    });
  });
}
