import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openStore } from '../../lib/store/open.ts';
import { recordKey, value, withFolder } from '../helpers/store-values.ts';

/** Beyond what is counted when a store is opened. */
const RECORDS = 12_000;

describe('the number of records', () => {
  it('is estimated by their bytes when there are many', () =>
    withFolder(async (folder) => {
      const options = { kind: 'level', folder, reserveBytes: 4096 } as const;
      const store = await openStore(options);
      const body = Buffer.alloc(300, 'x');
      const numbers = Array.from({ length: RECORDS }, (_, number) => number);
      await Promise.all(numbers.map((number) => store.put(recordKey(number), value(body))));
      assert.equal((await store.stats()).records, RECORDS);
      await store.close();

      const again = await openStore(options);
      const { records } = await again.stats();
      assert.ok(records > 0.8 * RECORDS && records < 1.2 * RECORDS, `${records} records`);
      await again.delete(recordKey(1));
      assert.equal((await again.stats()).records, records - 1);
      await again.close();
    }));
});
