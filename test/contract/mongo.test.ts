import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openStore } from '../../lib/store/open.ts';
import type { Store } from '../../lib/store/store.ts';
import { NO_MONGO, openTestMongo, type TestMongo, withClient } from '../helpers/mongo-server.ts';
import { recordKey, value } from '../helpers/store-values.ts';
import { storeSuite } from './store-suite.ts';

if (NO_MONGO === undefined) contractOfMongo();
else it('mongo', { skip: NO_MONGO }, () => {});

function contractOfMongo(): void {
  describe('on MongoDB', () => {
    let mongo: TestMongo;
    before(async () => {
      mongo = await openTestMongo();
    });
    after(() => mongo.close());

    const open = async () => {
      const mongoDatabase = mongo.database();
      const reopened = () => openStore({ kind: 'mongo', mongoURI: mongo.uri, mongoDatabase });
      let store: Store = await reopened();
      return {
        store,
        reopen: async () => {
          await store.close();
          store = await reopened();
          return store;
        },
        destroy: async () => {
          await store.close();
          await withClient(mongo.uri, (client) => client.db(mongoDatabase).dropDatabase());
        },
      };
    };
    storeSuite('mongo', open);

    it('reads its values whatever form the connection string wants them in', async () => {
      const mongoDatabase = mongo.database();
      const form = 'promoteValues=false&promoteBuffers=false&promoteLongs=false';
      const mongoURI = `${mongo.uri}${mongo.uri.includes('?') ? '&' : '/?'}${form}`;
      const store = await openStore({ kind: 'mongo', mongoURI, mongoDatabase });
      try {
        await store.put(recordKey(1), value('x', Date.UTC(2100, 0)));
        assert.equal((await store.get(recordKey(1)))?.expiryMs, Date.UTC(2100, 0));
        assert.equal((await store.stats()).records, 1);
      } finally {
        await store.close();
      }
    });
  });
}
