import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ALWAYS, type Condition, IF_ABSENT, ifRevision } from '../../lib/store/store.ts';
import {
  outcomesOf,
  patternBytes,
  recordKey,
  rejectsWith,
  value,
} from '../helpers/store-values.ts';
import type { Subject } from './store-suite.ts';

const NO_REVISION = ifRevision(Buffer.alloc(8));

export function conditionSuite(subject: Subject): void {
  describe('conditions', () => {
    it('puts only if absent', async () => {
      const { store } = subject;
      const { revision } = await store.put(recordKey(1), value('first'), IF_ABSENT);
      await rejectsWith(store.put(recordKey(1), value('second'), IF_ABSENT), 'CONFLICT');
      const found = await store.get(recordKey(1));
      assert.equal(found?.body?.toString(), 'first');
      assert.deepEqual(found.revision, revision);
      await store.delete(recordKey(1));
      assert.equal((await store.put(recordKey(1), value('third'), IF_ABSENT)).replaced, false);
    });

    it('puts only over the revision that is meant', async () => {
      const { store } = subject;
      const key = recordKey(1);
      await rejectsWith(store.put(key, value('x'), NO_REVISION), 'CONFLICT');
      const first = await store.put(key, value('first'));
      const second = await store.put(key, value('second'), ifRevision(first.revision));
      assert.equal(second.replaced, true);
      await rejectsWith(store.put(key, value('third'), ifRevision(first.revision)), 'CONFLICT');
      assert.equal((await store.get(key))?.body?.toString(), 'second');
    });

    it('keeps the revision that a moved value brings, and draws one for all others', async () => {
      const { store } = subject;
      const [from, to] = [recordKey(1), recordKey(2)];
      const { revision } = await store.put(from, value('moved'));
      const moved = await store.put(to, { ...value('moved'), revision }, IF_ABSENT);
      assert.deepEqual(moved, { revision, replaced: false });
      assert.deepEqual((await store.head(to))?.revision, revision);
      await rejectsWith(store.put(to, value('late'), NO_REVISION), 'CONFLICT');
      const next = await store.put(to, value('next'), ifRevision(revision));
      assert.notDeepEqual(next.revision, revision);
      const short = { ...value('x'), revision: Buffer.alloc(7) };
      await rejectsWith(store.put(to, short), 'INVALID_FIELD');
      assert.equal((await store.get(to))?.body?.toString(), 'next');
    });

    it('replaces what has the very revision that a write brings, under its condition', async () => {
      const { store } = subject;
      const key = recordKey(1);
      const revision = Buffer.from('0011223344556677', 'hex');
      const brought = (body: string, expiryMs = 0) => ({ ...value(body, expiryMs), revision });
      assert.equal((await store.put(key, brought('first'))).replaced, false);
      const second = await store.put(key, brought('second'));
      assert.deepEqual(second, { revision, replaced: true });
      assert.equal((await store.get(key))?.body?.toString(), 'second');
      await store.put(key, brought('third', 4e12), ifRevision(revision));
      await rejectsWith(store.put(key, brought('fourth'), IF_ABSENT), 'CONFLICT');
      await rejectsWith(store.put(key, brought('fifth'), NO_REVISION), 'CONFLICT');
      const found = await store.get(key);
      assert.deepEqual([found?.body?.toString(), found?.expiryMs], ['third', 4e12]);
      assert.deepEqual(found?.revision, revision);
      await store.put(key, brought('old', 1));
      assert.equal((await store.put(key, brought('new'), IF_ABSENT)).replaced, false);
      assert.equal((await store.get(key))?.body?.toString(), 'new');
    });

    it('deletes only the revision that is meant', async () => {
      const { store } = subject;
      const key = recordKey(1);
      await rejectsWith(store.delete(key, NO_REVISION), 'CONFLICT');
      const { revision } = await store.put(key, value(patternBytes(9000)));
      await rejectsWith(store.delete(key, NO_REVISION), 'CONFLICT');
      await rejectsWith(store.delete(key, IF_ABSENT), 'CONFLICT');
      assert.equal((await store.get(key))?.body?.length, 9000);
      assert.equal(await store.delete(key, ifRevision(revision)), true);
      assert.equal(await store.delete(key, IF_ABSENT), false);
      await rejectsWith(store.delete(key, ifRevision(revision)), 'CONFLICT');
    });

    it('takes what has expired for absent', async () => {
      const { store } = subject;
      const { revision } = await store.put(recordKey(1), value('old', 1));
      await rejectsWith(store.put(recordKey(1), value('x'), ifRevision(revision)), 'CONFLICT');
      await rejectsWith(store.delete(recordKey(1), ifRevision(revision)), 'CONFLICT');
      assert.equal((await store.put(recordKey(1), value('new'), IF_ABSENT)).replaced, false);
      assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'new');
    });

    it('refuses a revision of another length', async () => {
      const condition = ifRevision(Buffer.alloc(7));
      await rejectsWith(subject.store.put(recordKey(1), value('x'), condition), 'INVALID_FIELD');
    });
  });

  describe('concurrency', () => {
    it('lets exactly one of many be the first', async () => {
      const { store } = subject;
      for (let round = 0; round < 10; round++) {
        const keys = [recordKey(round, 1), recordKey(round, 2), recordKey(round, 3)];
        const puts = keys.flatMap((key) =>
          Array.from({ length: 16 }, (_, writer) =>
            store.put(key, value(`writer ${writer}`), IF_ABSENT),
          ),
        );
        const outcomes = await outcomesOf(puts);
        for (const [index] of keys.entries()) {
          const ofKey = outcomes.slice(16 * index, 16 * (index + 1)).sort();
          assert.deepEqual(ofKey, [...Array(15).fill('CONFLICT'), 'done']);
        }
      }
    });

    it('lets exactly one of many replace a revision', async () => {
      const { store } = subject;
      let { revision } = await store.put(recordKey(1), value('start'));
      for (let round = 0; round < 10; round++) {
        const condition = ifRevision(revision);
        const writers = Array.from({ length: 8 }, (_, writer) =>
          writer === 0
            ? store.delete(recordKey(2), IF_ABSENT)
            : store.put(recordKey(1), value(`round ${round} writer ${writer}`), condition),
        );
        const outcomes = await outcomesOf(writers);
        assert.equal(outcomes.filter((one) => one === 'done').length, 2);
        const found = await store.get(recordKey(1));
        assert.ok(found);
        assert.equal(
          found.body?.toString(),
          `round ${round} writer ${outcomes.indexOf('done', 1)}`,
        );
        revision = found.revision;
      }
    });

    it('loses no increment of a counter', async () => {
      const { store } = subject;
      await store.put(recordKey(1), value('0'));
      const increment = async (): Promise<void> => {
        for (;;) {
          const found = await store.get(recordKey(1));
          assert.ok(found?.body);
          const next = value(String(Number(found.body.toString()) + 1));
          const put = store.put(recordKey(1), next, ifRevision(found.revision));
          if ((await outcomesOf([put]))[0] === 'done') return;
        }
      };
      await Promise.all(Array.from({ length: 8 }, () => increment()));
      assert.equal((await store.get(recordKey(1)))?.body?.toString(), '8');
    });

    it('does the writes to one key in their order', async () => {
      const { store } = subject;
      const writes: Promise<unknown>[] = [];
      for (let number = 0; number < 50; number++) {
        writes.push(store.put(recordKey(1), value(`put ${number}`)).then((put) => put.replaced));
        writes.push(store.put(recordKey(100 + number), value('beside')).then(() => 'beside'));
        if (number % 5 === 4) writes.push(store.delete(recordKey(1)));
      }
      const answers = (await Promise.all(writes)).filter((answer) => answer !== 'beside');
      const aRound = [false, true, true, true, true, true];
      assert.deepEqual(answers, Array(10).fill(aRound).flat());
      assert.equal(await store.get(recordKey(1)), undefined);
    });

    it('answers a later write of the same caller with what it wrote', async () => {
      const { store } = subject;
      const conditions: Condition[] = [IF_ABSENT, ALWAYS, IF_ABSENT];
      const writes = conditions.map((condition) => store.put(recordKey(1), value('x'), condition));
      assert.deepEqual(await outcomesOf(writes), ['done', 'done', 'CONFLICT']);
    });

    it('keeps everything of many writers', async () => {
      const { store } = subject;
      const numbers = Array.from({ length: 1500 }, (_, number) => number);
      await Promise.all(numbers.map((number) => store.put(recordKey(number), value(`${number}`))));
      const found = await store.getMany(numbers.map((number) => recordKey(number)));
      assert.deepEqual(
        found.map((one) => one?.body?.toString()),
        numbers.map(String),
      );
    });

    it('never shows a head with the body of another write', async () => {
      const { store } = subject;
      let isWriting = true;
      const writer = async (): Promise<void> => {
        for (let round = 0; round < 30; round++) {
          const bodyBytes = round % 3 === 0 ? 100 : 5000 + round;
          await store.put(recordKey(1), value(patternBytes(bodyBytes, round), 0, `${round}`));
        }
        isWriting = false;
      };
      const reader = async (): Promise<void> => {
        while (isWriting) {
          const found = await store.get(recordKey(1));
          if (found === undefined) continue;
          const round = Number(found.head.toString());
          assert.ok(found.body?.equals(patternBytes(found.bodyBytes, round)));
        }
      };
      await Promise.all([writer(), reader(), reader()]);
    });
  });
}
