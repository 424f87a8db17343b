/** What happens when MongoDB is away, or its connections break. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { startBe } from '../../lib/be/server.ts';
import { BeService } from '../../lib/be/service.ts';
import { silentLog } from '../../lib/log.ts';
import { Budget } from '../../lib/net/budget.ts';
import { RequestContext } from '../../lib/net/request.ts';
import { OWN_SESSION } from '../../lib/net/session.ts';
import { DEFAULT_LIMITS } from '../../lib/protocol/limits.ts';
import { metaKey } from '../../lib/store/meta.ts';
import type { ValueDocument } from '../../lib/store/mongo-document.ts';
import { type OpenedStore, openStore } from '../../lib/store/open.ts';
import { IF_ABSENT } from '../../lib/store/store.ts';
import { MongoProxy } from '../helpers/mongo-proxy.ts';
import { NO_MONGO, openTestMongo, type TestMongo, withClient } from '../helpers/mongo-server.ts';
import { until } from '../helpers/programs.ts';
import { temporaryFolder, testConfig } from '../helpers/servers.ts';
import { outcomesOf, recordKey, rejectsWith, value } from '../helpers/store-values.ts';

const NOT_DONE: readonly string[] = ['UNAVAILABLE', 'UNKNOWN_OUTCOME'];

if (NO_MONGO === undefined) suite();
else it('mongo, away', { skip: NO_MONGO }, () => {});

function healthy(store: OpenedStore): Promise<boolean> {
  return until('a healthy store', () => store.health().ok || undefined);
}

/** Resolves when the store knows that MongoDB is away. */
async function lostBy(store: OpenedStore, proxy: MongoProxy): Promise<void> {
  await proxy.goAway();
  await until('the loss', () => !store.health().ok || undefined);
}

function suite(): void {
  describe('MongoDB away', () => {
    let mongo: TestMongo;
    before(async () => {
      mongo = await openTestMongo();
    });
    after(() => mongo.close());

    /** Runs with a store behind a proxy, and one that looks past it. */
    const withProxy = async (
      run: (proxy: MongoProxy, store: OpenedStore, direct: OpenedStore) => Promise<void>,
    ) => {
      const mongoDatabase = mongo.database();
      const proxy = await MongoProxy.open(mongo.uri);
      const store = await openStore({ kind: 'mongo', mongoURI: proxy.uri, mongoDatabase });
      const direct = await openStore({ kind: 'mongo', mongoURI: mongo.uri, mongoDatabase });
      try {
        await run(proxy, store, direct);
      } finally {
        await store.close();
        await direct.close();
        await proxy.close();
      }
    };

    it('starts without it, says so, and serves once it is there', async () => {
      const proxy = await MongoProxy.open(mongo.uri);
      await proxy.goAway();
      const folder = await temporaryFolder();
      const mongoDatabase = mongo.database();
      const section = { store: 'mongo', mongoURI: proxy.uri, mongoDatabase };
      const be = await startBe(await testConfig(folder, { beServerConfigs: section }), silentLog);
      const client = new BeClient({ address: { host: '127.0.0.1', port: be.port } });
      try {
        const place = `${proxy.uri.replace(/\/\?.*/, '')}/${mongoDatabase}`;
        assert.ok(be.line.endsWith(`(mongo, ${place}, unreachable)`), be.line);
        await rejectsWith(client.askKeyring(), 'UNAVAILABLE');
        await proxy.comeBack();
        const keyring = await until('an answer', () =>
          client.askKeyring().then(
            (found) => ({ found }),
            () => undefined,
          ),
        );
        assert.equal(keyring.found, undefined);
      } finally {
        client.close();
        await be.close();
        await proxy.close();
      }
    });

    it('identifies the database before it serves it', async () => {
      const mongoDatabase = mongo.database();
      const direct = await openStore({ kind: 'mongo', mongoURI: mongo.uri, mongoDatabase });
      const head = Buffer.from([0, 0, 0, 99]);
      const format = Buffer.concat([Buffer.from([0]), Buffer.from('format')]);
      await direct.put(format, { head, body: Buffer.alloc(0), expiryMs: 0 });
      await direct.close();
      const opening = openStore({ kind: 'mongo', mongoURI: mongo.uri, mongoDatabase });
      await rejectsWith(opening, 'BAD_CONFIG');

      const proxy = await MongoProxy.open(mongo.uri);
      await proxy.goAway();
      const store = await openStore({ kind: 'mongo', mongoURI: proxy.uri, mongoDatabase });
      try {
        await proxy.comeBack();
        await until('the refusal', () => /format 99/.test(store.health().reason) || undefined);
        await rejectsWith(store.get(recordKey(1)), 'UNAVAILABLE');
      } finally {
        await store.close();
        await proxy.close();
      }
    });

    it('does not adopt a database that came back empty', async () => {
      const mongoDatabase = mongo.database();
      const proxy = await MongoProxy.open(mongo.uri);
      const store = await openStore({ kind: 'mongo', mongoURI: proxy.uri, mongoDatabase });
      try {
        await store.put(recordKey(1), value('kept'));
        await lostBy(store, proxy);
        await withClient(mongo.uri, async (client) => {
          const database = client.db(mongoDatabase);
          const kept = await database.collection('values').find().toArray();
          await database.dropDatabase();
          await proxy.comeBack();
          await until('the refusal', () => /another/.test(store.health().reason) || undefined);
          await rejectsWith(store.put(recordKey(2), value('x')), 'UNAVAILABLE');
          assert.equal(await database.collection('values').countDocuments(), 0);
          await database.collection('values').insertMany(kept);
        });
        await healthy(store);
        assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'kept');
      } finally {
        await store.close();
        await proxy.close();
      }
    });

    it('does not adopt a database that was emptied under open connections', async () => {
      const mongoDatabase = mongo.database();
      const store = await openStore({ kind: 'mongo', mongoURI: mongo.uri, mongoDatabase });
      const service = new BeService(store, new Budget(1024), DEFAULT_LIMITS);
      const mark = { keyringId: Buffer.alloc(16, 1), epoch: 1 };
      const hello = () =>
        service.hello({ epoch: undefined }, mark, new RequestContext(OWN_SESSION, 10_000));
      try {
        await store.put(recordKey(1), value('kept'));
        await withClient(mongo.uri, async (client) => {
          const values = client.db(mongoDatabase).collection('values');
          const kept = await values.find().toArray();
          await values.deleteMany({});
          // Unless the store has noticed it a moment before.
          const [refused = ''] = await outcomesOf([hello()]);
          assert.match(refused, /^(STORE_DAMAGED|UNAVAILABLE)$/);
          assert.match(service.unreadyReason() ?? '', /another than before/);
          await rejectsWith(store.put(recordKey(2), value('x')), 'UNAVAILABLE');
          await rejectsWith(store.get(recordKey(1)), 'UNAVAILABLE');
          await rejectsWith(hello(), 'UNAVAILABLE');
          assert.equal(await values.countDocuments(), 0);
          await values.insertMany(kept);
        });
        await healthy(store);
        await hello();
        assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'kept');
      } finally {
        await store.close();
      }
    });

    it('finds out by itself that the database was dropped under open connections', async () => {
      const mongoDatabase = mongo.database();
      const store = await openStore({ kind: 'mongo', mongoURI: mongo.uri, mongoDatabase });
      try {
        await store.put(recordKey(1), value('kept'));
        await withClient(mongo.uri, async (client) => {
          const values = client.db(mongoDatabase).collection<ValueDocument>('values');
          const kept = await values.find().toArray();
          await client.db(mongoDatabase).dropDatabase();
          await until('the refusal', () => /another/.test(store.health().reason) || undefined);
          await rejectsWith(store.put(recordKey(2), value('x')), 'UNAVAILABLE');
          await rejectsWith(store.get(recordKey(1)), 'UNAVAILABLE');
          assert.equal(await values.countDocuments(), 0);
          await values.insertMany(kept);
          await healthy(store);
          assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'kept');
          // Nor does it take one of another ID.
          const _id = metaKey('store-id');
          await values.updateOne({ _id }, { $set: { h: Buffer.alloc(16, 9) } });
          await until('the refusal', () => /another/.test(store.health().reason) || undefined);
        });
      } finally {
        await store.close();
      }
    });

    it('refuses while it is away, and goes on by itself', async () => {
      await withProxy(async (proxy, store) => {
        await store.put(recordKey(1), value('before'));
        await lostBy(store, proxy);
        const asked = [store.put(recordKey(2), value('x')), store.get(recordKey(1))];
        asked.push(store.stats() as never, store.scan(Buffer.from([1]), undefined, 1) as never);
        assert.deepEqual(await outcomesOf(asked), Array(4).fill('UNAVAILABLE'));
        await proxy.comeBack();
        await healthy(store);
        assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'before');
        await store.put(recordKey(2), value('after'), IF_ABSENT);
      });
    });

    it('says that it does not know, when the answer to a write is lost', async () => {
      await withProxy(async (proxy, store, direct) => {
        const [first, second] = [recordKey(1), recordKey(2)];
        await store.put(second, value('second'));
        const lose = async (ask: () => Promise<unknown>, isDone: () => Promise<boolean>) => {
          proxy.swallowAnswers();
          const outcome = outcomesOf([ask()]);
          await until('its effect', async () => (await isDone()) || undefined);
          await until('its answer', () => proxy.swallowedBytes > 0 || undefined);
          await lostBy(store, proxy);
          await proxy.comeBack();
          await healthy(store);
          return (await outcome)[0];
        };
        const put = () => store.put(first, value('unknown'), IF_ABSENT);
        const isPut = async () => (await direct.head(first)) !== undefined;
        assert.equal(await lose(put, isPut), 'UNKNOWN_OUTCOME');
        await rejectsWith(put(), 'CONFLICT');
        const isDeleted = async () => (await direct.head(second)) === undefined;
        assert.equal(await lose(() => store.delete(second), isDeleted), 'UNKNOWN_OUTCOME');
        assert.equal((await store.get(first))?.body?.toString(), 'unknown');
      });
    });

    for (const command of ['find', 'insert']) {
      it(`does not hold others up when one answer to ${command} is lost`, async () => {
        await withProxy(async (proxy, store) => {
          const ask = (number: number) =>
            command === 'find'
              ? store.head(recordKey(number))
              : store.put(recordKey(number), value('x'));
          proxy.swallowAnswerTo(command);
          let isLost = true;
          const lost = ask(1).catch(() => undefined);
          void lost.then(() => {
            isLost = false;
          });
          await until('the loss', () => proxy.swallowedBytes > 0 || undefined);
          for (const number of [2, 3, 4]) await ask(number);
          assert.ok(isLost);
          await proxy.goAway();
          await lost;
        });
      });
    }

    it('loses nothing acknowledged when connections break', async () => {
      await withProxy(async (proxy, store, direct) => {
        const kept = new Map<number, string>();
        let number = 0;
        let lost = 0;
        let cuts = 0;
        const writer = async () => {
          while (cuts < 12 || lost === 0) {
            const mine = number++;
            const [outcome = ''] = await outcomesOf([store.put(recordKey(mine), value(`${mine}`))]);
            if (outcome === 'done') kept.set(mine, `${mine}`);
            else if (NOT_DONE.includes(outcome)) lost++;
            else assert.fail(outcome);
            if (outcome !== 'done') await healthy(store);
            // In the midst of what the other writers have under way.
            else if (kept.size % 40 === 0) {
              cuts++;
              proxy.cut();
            }
          }
        };
        await Promise.all(Array.from({ length: 16 }, writer));
        const numbers = [...kept.keys()];
        const found = await direct.getMany(numbers.map((mine) => recordKey(mine)));
        assert.deepEqual(
          found.map((one) => one?.body?.toString()),
          numbers.map(String),
        );
        assert.ok(numbers.length >= 480 && lost > 0, `${numbers.length} kept, ${lost} not done`);
      });
    });
  });
}
