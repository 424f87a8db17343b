import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ScanItem, type Store, TABLE } from '../../lib/store/store.ts';
import { patternBytes, recordKey, rejectsWith, value } from '../helpers/store-values.ts';
import type { Subject } from './store-suite.ts';

const RECORDS = Buffer.from([TABLE.RECORDS]);

async function scanAll(store: Store, prefix: Buffer, limit: number): Promise<ScanItem[]> {
  const items: ScanItem[] = [];
  for (;;) {
    const page = await store.scan(prefix, items.at(-1)?.key, limit);
    assert.ok(page.items.length <= limit);
    items.push(...page.items);
    if (!page.more) return items;
    assert.equal(page.items.length, limit);
  }
}

export function scanSuite(subject: Subject): void {
  describe('scan', () => {
    it('finds nothing in an empty table', async () => {
      const page = await subject.store.scan(Buffer.from([TABLE.FOREIGN]), undefined, 10);
      assert.deepEqual(page, { items: [], more: false });
    });

    it('goes through all keys in order, whatever the size of a page', async () => {
      const { store } = subject;
      const numbers = Array.from({ length: 25 }, (_, number) => (number * 7) % 25);
      await Promise.all(numbers.map((number) => store.put(recordKey(number), value(`${number}`))));
      for (const limit of [1, 4, 5, 24, 25, 26, 10_000]) {
        const items = await scanAll(store, RECORDS, limit);
        assert.deepEqual(
          items.map((item) => item.key.readUInt32BE(2)),
          numbers.toSorted((a, b) => a - b),
        );
      }
    });

    it('gives heads as `head` does, and no body', async () => {
      const { store } = subject;
      const bodies = [patternBytes(10), patternBytes(5000)];
      for (const [number, body] of bodies.entries())
        await store.put(recordKey(number), value(body));
      const { items } = await store.scan(RECORDS, undefined, 10);
      assert.equal(items.length, 2);
      for (const item of items) {
        assert.deepEqual(item, { key: item.key, ...(await store.head(item.key)) });
        assert.ok(!('body' in item));
      }
    });

    it('keeps to its prefix, also one that ends in 0xff', async () => {
      const { store } = subject;
      for (const group of [0, 1, 0xfe, 0xff]) {
        for (const number of [0, 0xffff_ffff])
          await store.put(recordKey(number, group), value('x'));
      }
      await store.put(Buffer.concat([Buffer.from([TABLE.FOREIGN]), Buffer.alloc(26)]), value('x'));
      for (const group of [0, 1, 0xfe, 0xff]) {
        const items = await scanAll(store, Buffer.from([TABLE.RECORDS, group]), 1);
        assert.deepEqual(
          items.map((item) => item.key),
          [recordKey(0, group), recordKey(0xffff_ffff, group)],
        );
      }
      const whole = recordKey(0xffff_ffff, 0xff);
      assert.equal((await store.scan(whole, undefined, 5)).items.length, 1);
      assert.equal((await scanAll(store, RECORDS, 3)).length, 8);
    });

    it('goes on after a key that is not there, or lies outside', async () => {
      const { store } = subject;
      for (const number of [1, 3]) await store.put(recordKey(number, 5), value('x'));
      const prefix = Buffer.from([TABLE.RECORDS, 5]);
      const numbersAfter = async (after: Buffer) => {
        const { items, more } = await store.scan(prefix, after, 10);
        assert.equal(more, false);
        return items.map((item) => item.key.readUInt32BE(2));
      };
      assert.deepEqual(await numbersAfter(recordKey(2, 5)), [3]);
      assert.deepEqual(await numbersAfter(recordKey(3, 5)), []);
      assert.deepEqual(await numbersAfter(recordKey(9, 4)), [1, 3]);
      assert.deepEqual(await numbersAfter(recordKey(0, 6)), []);
    });

    it('passes over what has expired', async () => {
      const { store } = subject;
      for (let number = 0; number < 12; number++) {
        await store.put(recordKey(number), value('x', number % 3 === 0 ? 0 : 1));
      }
      const { items, more } = await store.scan(RECORDS, undefined, 4);
      assert.equal(more, false);
      assert.equal(items.length, 4);
    });

    it('refuses prefixes and limits that are none', async () => {
      const { store } = subject;
      for (const prefix of ['', '03', '04', 'ff', '00'.repeat(4098)]) {
        await rejectsWith(store.scan(Buffer.from(prefix, 'hex'), undefined, 1), 'INVALID_FIELD');
      }
      for (const limit of [0, -1, 1.5, 10_001, Number.NaN]) {
        await rejectsWith(store.scan(RECORDS, undefined, limit), 'INVALID_FIELD');
      }
    });
  });
}
