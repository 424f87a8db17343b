/** What only the MongoDB store does: several servers at once, repeated commands, its documents. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Collection, MongoClient } from 'mongodb';
import { Write } from '../../lib/store/group.ts';
import { createClient, valuesOf } from '../../lib/store/mongo-client.ts';
import type { ValueDocument } from '../../lib/store/mongo-document.ts';
import { MongoRefusals } from '../../lib/store/mongo-refusals.ts';
import { MongoWriter } from '../../lib/store/mongo-write.ts';
import { type OpenedStore, openStore } from '../../lib/store/open.ts';
import {
  ALWAYS,
  type Condition,
  IF_ABSENT,
  ifRevision,
  type PutResult,
  TABLE,
} from '../../lib/store/store.ts';
import { NO_MONGO, openTestMongo, type TestMongo } from '../helpers/mongo-server.ts';
import { outcomesOf, recordKey, rejectsWith, value } from '../helpers/store-values.ts';

/** Gives every write to MongoDB twice, as a driver may that lost the answer to the first. */
function repeating(collection: Collection<ValueDocument>): Collection<ValueDocument> {
  const repeated = ['insertMany', 'replaceOne', 'bulkWrite'];
  return new Proxy(collection, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      if (!repeated.includes(String(name))) return method.bind(target);
      return async (...args: unknown[]) => {
        await Reflect.apply(method, target, args);
        return await Reflect.apply(method, target, args);
      };
    },
  });
}

/** Something happens before each call of a method. */
function meddled(
  collection: Collection<ValueDocument>,
  name: string,
  happen: () => Promise<unknown>,
): Collection<ValueDocument> {
  return new Proxy(collection, {
    get(target, asked) {
      const method: unknown = Reflect.get(target, asked);
      if (typeof method !== 'function') return method;
      if (asked !== name) return method.bind(target);
      return async (...args: unknown[]) => {
        await happen();
        return await Reflect.apply(method, target, args);
      };
    },
  });
}

if (NO_MONGO === undefined) suite();
else it('mongo, more', { skip: NO_MONGO }, () => {});

function suite(): void {
  describe('the store on MongoDB', () => {
    let mongo: TestMongo;
    let client: MongoClient;
    before(async () => {
      mongo = await openTestMongo();
      client = await createClient(mongo.uri);
    });
    after(async () => {
      await client.close();
      await mongo.close();
    });

    const withStores = async (
      run: (one: OpenedStore, two: OpenedStore, values: Collection<ValueDocument>) => Promise<void>,
    ) => {
      const mongoDatabase = mongo.database();
      const options = { kind: 'mongo', mongoURI: mongo.uri, mongoDatabase } as const;
      const stores = await Promise.all([openStore(options), openStore(options)]);
      try {
        await run(...stores, valuesOf(client, mongoDatabase));
      } finally {
        for (const store of stores) await store.close();
      }
    };

    it('keeps conditions between servers', async () => {
      await withStores(async (one, two) => {
        for (let round = 0; round < 10; round++) {
          const key = recordKey(round);
          const first = [one, two, one, two].map((store) => store.put(key, value('x'), IF_ABSENT));
          assert.deepEqual((await outcomesOf(first)).sort(), [
            ...Array(3).fill('CONFLICT'),
            'done',
          ]);
          const condition = ifRevision((await two.head(key))?.revision ?? Buffer.alloc(8));
          const second = [one, two].map((store) => store.put(key, value('y'), condition));
          assert.deepEqual((await outcomesOf(second)).sort(), ['CONFLICT', 'done']);
        }
      });
    });

    it('does unconditional writes of several servers, whoever comes first', async () => {
      await withStores(async (one, two) => {
        const puts: Promise<PutResult>[] = [];
        for (let number = 0; number < 200; number++) {
          const store = number % 2 === 0 ? one : two;
          puts.push(store.put(recordKey(number % 20), value(`${number}`)));
        }
        const done = await Promise.all(puts);
        assert.ok(done.filter(({ replaced }) => !replaced).length >= 20);
        for (let number = 0; number < 20; number++) {
          const found = await one.get(recordKey(number));
          assert.ok(done.some(({ revision }) => found?.revision.equals(revision)));
        }
      });
    });

    it('knows its own writes again when the driver repeated them', async () => {
      await withStores(async (one, _two, values) => {
        const writer = new MongoWriter(repeating(values), Date.now, (command) => command);
        const put = (number: number, condition: Condition) =>
          new Promise<PutResult>((resolve, reject) => {
            const request = { key: recordKey(number), value: value('mine'), condition };
            void writer.writeGroup([new Write('put', { ...request, resolve, reject })]);
          });
        assert.equal((await put(1, ALWAYS)).replaced, false);
        const absent = await put(2, IF_ABSENT);
        assert.equal(absent.replaced, false);
        const exchanged = await put(2, ifRevision(absent.revision));
        assert.equal(exchanged.replaced, true);
        assert.equal((await put(1, ALWAYS)).replaced, true);
        await one.put(recordKey(3), value('old', 1));
        assert.equal((await put(3, IF_ABSENT)).replaced, false);
        await rejectsWith(put(2, IF_ABSENT), 'CONFLICT');
        await rejectsWith(put(2, ifRevision(absent.revision)), 'CONFLICT');
        assert.deepEqual((await one.head(recordKey(2)))?.revision, exchanged.revision);
      });
    });

    it('does not say that it replaced what another server deleted meanwhile', async () => {
      await withStores(async (one, two, values) => {
        const key = recordKey(1);
        const { revision } = await one.put(key, value('old'));
        const changing = meddled(values, 'bulkWrite', () => two.delete(key));
        const writer = new MongoWriter(changing, Date.now, (command) => command);
        const { replaced } = await new Promise<PutResult>((resolve, reject) => {
          const request = { key, value: value('new'), condition: ALWAYS, resolve, reject };
          void writer.writeGroup([new Write('put', request)]);
        });
        assert.equal(replaced, false);
        assert.notDeepEqual((await one.head(key))?.revision, revision);
      });
    });

    it('remembers that writes are refused, until one succeeds', async () => {
      await withStores(async (_one, _two, values) => {
        const refusals = new MongoRefusals();
        let refusal: unknown = Object.assign(new Error('no right'), { code: 13 });
        const refusing = meddled(values, 'insertMany', async () => {
          if (refusal !== undefined) throw refusal;
        });
        const writer = new MongoWriter(refusing, Date.now, (command) => command, refusals);
        const put = () =>
          new Promise((resolve, reject) => {
            const request = { key: recordKey(1), value: value('x'), condition: ALWAYS };
            void writer.writeGroup([new Write('put', { ...request, resolve, reject })]);
          });
        await rejectsWith(put(), 'UNAVAILABLE');
        assert.equal(refusals.reason, 'MongoDB refuses writes (13)');
        refusal = undefined;
        await put();
        assert.equal(refusals.reason, undefined);
      });
    });

    it('says that it does not know whose a revision is that the write brings', async () => {
      await withStores(async (one, _two, values) => {
        const writer = new MongoWriter(repeating(values), Date.now, (command) => command);
        const revision = Buffer.alloc(8, 7);
        const brought = { ...value('brought'), revision };
        const put = (number: number, condition: Condition) =>
          new Promise<PutResult>((resolve, reject) => {
            const request = { key: recordKey(number), value: brought, condition };
            void writer.writeGroup([new Write('put', { ...request, resolve, reject })]);
          });
        await rejectsWith(put(1, IF_ABSENT), 'UNKNOWN_OUTCOME');
        // Nothing was tried before it was seen.
        await rejectsWith(put(1, IF_ABSENT), 'CONFLICT');
        await rejectsWith(put(1, ifRevision(Buffer.alloc(8))), 'CONFLICT');
        assert.deepEqual(await put(1, ALWAYS), { revision, replaced: true });
        assert.deepEqual(await put(1, ifRevision(revision)), { revision, replaced: true });
        const { revision: drawn } = await one.put(recordKey(2), value('drawn'));
        await rejectsWith(put(2, ifRevision(drawn)), 'UNKNOWN_OUTCOME');
        assert.equal((await one.get(recordKey(2)))?.body?.toString(), 'brought');
      });
    });

    it('looks first where most is there already, and inserts first where it is not', async () => {
      await withStores(async (one) => {
        for (const [round, start] of [0, 0, 0, 50, 100, 0].entries()) {
          const numbers = Array.from({ length: 50 }, (_, index) => start + index);
          const done = await Promise.all(
            numbers.map((number) => one.put(recordKey(number), value(`round ${round}`))),
          );
          const isNew = [true, false, false, true, true, false][round];
          for (const { replaced } of done) assert.equal(replaced, !isNew, `round ${round}`);
        }
      });
    });

    it('replaces and deletes a document that is none, and shows its damage', async () => {
      await withStores(async (one, _two, values) => {
        const damaged = { h: 'no head', r: 'none', n: 1 } as unknown as ValueDocument;
        for (const number of [1, 2, 3]) {
          await values.insertOne({ ...damaged, _id: recordKey(number) });
        }
        await rejectsWith(one.get(recordKey(1)), 'STORE_DAMAGED');
        await rejectsWith(one.scan(Buffer.from([TABLE.RECORDS]), undefined, 9), 'STORE_DAMAGED');
        await rejectsWith(one.put(recordKey(1), value('x'), IF_ABSENT), 'CONFLICT');
        const condition = ifRevision(Buffer.alloc(8));
        await rejectsWith(one.put(recordKey(1), value('x'), condition), 'CONFLICT');
        assert.equal((await one.put(recordKey(1), value('whole'))).replaced, true);
        assert.equal(await one.delete(recordKey(2)), true);
        assert.equal((await one.get(recordKey(1)))?.body?.toString(), 'whole');
      });
    });

    it('scans keys of other tables bytewise, whatever their length', async () => {
      await withStores(async (one) => {
        const tails = ['00', '0000', '0001', '01', '7f', '7fff', '80', 'ff', 'ff00', 'ffffff'];
        for (const tail of tails.toReversed()) {
          await one.put(Buffer.from(`02${tail}`, 'hex'), value(tail));
        }
        const seen: string[] = [];
        for (let after: Buffer | undefined; ; ) {
          const page = await one.scan(Buffer.from([TABLE.FOREIGN]), after, 3);
          seen.push(...page.items.map(({ key }) => key.toString('hex').slice(2)));
          after = page.items.at(-1)?.key;
          if (!page.more) break;
        }
        assert.deepEqual(seen, tails);
        const page = await one.scan(Buffer.from('02ff', 'hex'), Buffer.from('02ff', 'hex'), 9);
        assert.equal(page.items.length, 2);
      });
    });

    it('lets MongoDB expire what has a date, and says so in an index', async () => {
      await withStores(async (one, _two, values) => {
        await one.put(recordKey(1), value('x', Date.UTC(2100, 0)));
        const indexes = await values.indexes();
        const byDate = indexes.find(({ key }) => 'e' in key);
        assert.equal(byDate?.['expireAfterSeconds'], 0);
        const document = await values.findOne({ _id: recordKey(1) });
        assert.ok(document?.e instanceof Date);
        assert.equal(await one.sweepExpired(10), 0);
      });
    });

    it('has snapshots that show what is there when they are asked', async () => {
      await withStores(async (one) => {
        await one.put(recordKey(1), value('one'));
        const snapshot = await one.snapshot();
        await one.put(recordKey(1), value('two'));
        assert.equal((await snapshot.get(recordKey(1)))?.body?.toString(), 'two');
        assert.equal((await snapshot.get(recordKey(1), 2))?.body, undefined);
        const table = Buffer.from([TABLE.RECORDS]);
        assert.equal((await snapshot.scan(table, undefined, 5)).items.length, 1);
        await snapshot.close();
        await rejectsWith(snapshot.get(recordKey(1)), 'UNAVAILABLE');
        await rejectsWith(snapshot.scan(table, undefined, 5), 'UNAVAILABLE');
      });
    });

    it('reads heads, small bodies and large ones together', async () => {
      await withStores(async (one) => {
        const sizes = [10, 64 * 1024, 64 * 1024 + 1, 300_000];
        for (const [number, size] of sizes.entries()) {
          await one.put(recordKey(number), value(Buffer.alloc(size, number)));
        }
        const bounds = [-1, 9, 64 * 1024, 64 * 1024 + 1, Number.POSITIVE_INFINITY];
        const asked = bounds.flatMap((bound) =>
          sizes.map(async (size, number) => {
            const found = await one.get(recordKey(number), bound);
            assert.equal(found?.bodyBytes, size);
            assert.equal(found.body?.length, size <= bound ? size : undefined);
          }),
        );
        await Promise.all(asked);
      });
    });
  });
}
