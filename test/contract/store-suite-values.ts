import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { REVISION_BYTES, TABLE } from '../../lib/store/store.ts';
import { patternBytes, recordKey, rejectsWith, value } from '../helpers/store-values.ts';
import type { Subject } from './store-suite.ts';

const MIB = 1024 * 1024;
const FUTURE_MS = Date.UTC(2100, 0, 1);
/** Around the largest body that lies with its head, a frame's, and the largest record. */
const BODY_SIZES = [0, 1, 4095, 4096, 4097, 65_536, 8 * MIB];

export function valueSuite(subject: Subject): void {
  describe('values', () => {
    it('gives back what was put', async () => {
      const { store } = subject;
      const key = recordKey(1);
      const { revision, replaced } = await store.put(key, value('body', FUTURE_MS, 'top'));
      assert.equal(replaced, false);
      assert.equal(revision.length, REVISION_BYTES);
      const found = { expiryMs: FUTURE_MS, revision, head: Buffer.from('top'), bodyBytes: 4 };
      assert.deepEqual(await store.get(key), { ...found, body: Buffer.from('body') });
      assert.deepEqual(await store.head(key), found);
    });

    it('has nothing under an unknown key', async () => {
      const { store } = subject;
      assert.equal(await store.get(recordKey(1)), undefined);
      assert.equal(await store.head(recordKey(1)), undefined);
      assert.equal(await store.delete(recordKey(1)), false);
    });

    it('replaces, and draws a new revision each time', async () => {
      const { store } = subject;
      const revisions = new Set<string>();
      for (const body of ['one', 'two', 'two']) {
        const { revision, replaced } = await store.put(recordKey(1), value(body));
        assert.equal(replaced, revisions.size > 0);
        revisions.add(revision.toString('hex'));
        assert.equal((await store.get(recordKey(1)))?.body?.toString(), body);
      }
      assert.equal(revisions.size, 3);
    });

    it('deletes, and knows no revision again', async () => {
      const { store } = subject;
      const first = await store.put(recordKey(1), value('one'));
      assert.equal(await store.delete(recordKey(1)), true);
      assert.equal(await store.get(recordKey(1)), undefined);
      assert.equal(await store.delete(recordKey(1)), false);
      const second = await store.put(recordKey(1), value('one'));
      assert.equal(second.replaced, false);
      assert.notDeepEqual(second.revision, first.revision);
    });

    it('keeps bodies of every size, each replacing another', async () => {
      const { store } = subject;
      const key = recordKey(1);
      for (const bodyBytes of [...BODY_SIZES, ...BODY_SIZES.toReversed()]) {
        const body = patternBytes(bodyBytes, bodyBytes);
        await store.put(key, value(body));
        const found = await store.get(key);
        assert.ok(found?.body?.equals(body), `${bodyBytes} bytes`);
        assert.equal(found?.bodyBytes, bodyBytes);
        assert.equal((await store.head(key))?.bodyBytes, bodyBytes);
      }
      assert.equal(await store.delete(key), true);
      assert.equal(await store.get(key), undefined);
    });

    it('keeps heads up to 4 KiB', async () => {
      const { store } = subject;
      for (const headBytes of [0, 4096]) {
        const head = patternBytes(headBytes);
        await store.put(recordKey(1), { head, body: Buffer.from('b'), expiryMs: 0 });
        assert.ok((await store.head(recordKey(1)))?.head.equals(head));
      }
    });

    it('leaves out a body that is larger than the reader accepts', async () => {
      const { store } = subject;
      for (const bodyBytes of [100, 10_000]) {
        await store.put(recordKey(1), value(patternBytes(bodyBytes)));
        const without = await store.get(recordKey(1), bodyBytes - 1);
        assert.equal(without?.body, undefined);
        assert.equal(without?.bodyBytes, bodyBytes);
        assert.equal((await store.get(recordKey(1), bodyBytes))?.body?.length, bodyBytes);
      }
    });

    it('reads many in their order, absent and repeated ones too', async () => {
      const { store } = subject;
      await store.put(recordKey(1), value('one'));
      await store.put(recordKey(2), value(patternBytes(9000)));
      const keys = [2, 7, 1, 2].map((number) => recordKey(number));
      const found = await store.getMany(keys, 5000);
      assert.deepEqual(
        found.map((one) => one && [one.bodyBytes, one.body?.toString()]),
        [[9000, undefined], undefined, [3, 'one'], [9000, undefined]],
      );
      assert.deepEqual(await store.getMany([]), []);
    });

    it('lets a caller use its buffers again after the answer', async () => {
      const { store } = subject;
      for (const bodyBytes of [10, 10_000]) {
        const key = recordKey(bodyBytes);
        const mine = { head: Buffer.from('head'), body: patternBytes(bodyBytes), expiryMs: 0 };
        const known = Buffer.from(key);
        await store.put(key, mine);
        for (const buffer of [key, mine.head, mine.body]) buffer.fill(0xee);
        const found = await store.get(known);
        assert.equal(found?.head.toString(), 'head');
        assert.ok(found?.body?.equals(patternBytes(bodyBytes)));
      }
    });

    it('keeps keys of any bytes and every length apart', async () => {
      const { store } = subject;
      const tails = ['00', '0000', 'ff', 'ffff', '00ff', 'ff00', '0a', '41'];
      const keys = tails.map((tail) => Buffer.from(`02${tail}`, 'hex'));
      keys.push(Buffer.concat([Buffer.from([TABLE.FOREIGN]), Buffer.alloc(4096, 0xff)]));
      keys.push(Buffer.concat([Buffer.from([TABLE.FOREIGN]), Buffer.alloc(4096, 0)]));
      await Promise.all(keys.map((key, index) => store.put(key, value(`value ${index}`))));
      for (const [index, key] of keys.entries()) {
        assert.equal((await store.get(key))?.body?.toString(), `value ${index}`);
      }
    });

    it('counts about, and is healthy', async () => {
      const { store } = subject;
      for (let number = 0; number < 20; number++) await store.put(recordKey(number), value('x'));
      const { kind, records, bytes } = await store.stats();
      assert.equal(kind, subject.kind);
      assert.ok(records >= 10 && records <= 40, `${records} records`);
      assert.ok(bytes >= 0);
      assert.equal(store.health().ok, true);
      assert.notEqual(store.health().reason, '');
    });
  });

  describe('expiry', () => {
    it('treats what has expired as absent everywhere', async () => {
      const { store } = subject;
      const key = recordKey(1);
      await store.put(key, value('old', 1));
      await store.put(recordKey(2), value('fresh', FUTURE_MS));
      assert.equal(await store.get(key), undefined);
      assert.equal(await store.head(key), undefined);
      assert.deepEqual(await store.getMany([key]), [undefined]);
      const page = await store.scan(Buffer.from([TABLE.RECORDS]), undefined, 10);
      assert.deepEqual(
        page.items.map((item) => item.key),
        [recordKey(2)],
      );
      assert.equal(await store.delete(key), false);
      await store.put(key, value(patternBytes(9000), 1));
      assert.equal((await store.put(key, value('new', 1))).replaced, false);
    });

    it('lets a value go when its time comes', async () => {
      const { store } = subject;
      const expiryMs = Date.now() + 50;
      await store.put(recordKey(1), value('soon', expiryMs));
      while (Date.now() <= expiryMs) await delay(5);
      assert.equal(await store.get(recordKey(1)), undefined);
    });

    it('keeps a value whose expiry was moved or taken away', async () => {
      const { store } = subject;
      for (const expiryMs of [1, FUTURE_MS, 0]) {
        await store.put(recordKey(1), value('x', expiryMs));
      }
      assert.equal((await store.get(recordKey(1)))?.expiryMs, 0);
    });
  });

  describe('bad input', () => {
    it('refuses keys that are none', async () => {
      const { store } = subject;
      const bad = ['', '01', '03aa', '04aa', 'ffaa', `02${'00'.repeat(4097)}`];
      for (const hex of bad) {
        const key = Buffer.from(hex, 'hex');
        await rejectsWith(store.put(key, value('x')), 'INVALID_FIELD');
        await rejectsWith(store.get(key), 'INVALID_FIELD');
        await rejectsWith(store.getMany([recordKey(1), key]), 'INVALID_FIELD');
        await rejectsWith(store.head(key), 'INVALID_FIELD');
        await rejectsWith(store.delete(key), 'INVALID_FIELD');
      }
    });

    it('refuses heads, bodies and expiries beyond their bounds', async () => {
      const { store } = subject;
      const head = Buffer.alloc(4097);
      const put = (one: object) => store.put(recordKey(1), { ...value('x'), ...one });
      await rejectsWith(put({ head }), 'INVALID_FIELD');
      await rejectsWith(put({ body: Buffer.alloc(16 * MIB + 1) }), 'RECORD_TOO_LARGE');
      for (const expiryMs of [-1, 0.5, Number.NaN, 2 ** 53]) {
        await rejectsWith(put({ expiryMs }), 'INVALID_FIELD');
      }
      assert.equal(await store.get(recordKey(1)), undefined);
    });
  });
}
