/** Answers of MongoDB that are no success, as they come over the wire. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EncServerError } from '../../lib/errors.ts';
import { openStore } from '../../lib/store/open.ts';
import { ALWAYS, ifRevision } from '../../lib/store/store.ts';
import { MongoProxy } from '../helpers/mongo-proxy.ts';
import { NO_MONGO, openTestMongo, type TestMongo } from '../helpers/mongo-server.ts';
import { recordKey, value } from '../helpers/store-values.ts';

if (NO_MONGO === undefined) suite();
else it('mongo, errors', { skip: NO_MONGO }, () => {});

function suite(): void {
  describe('what MongoDB answers', () => {
    let mongo: TestMongo;
    let proxy: MongoProxy;
    before(async () => {
      mongo = await openTestMongo();
      proxy = await MongoProxy.open(mongo.uri);
    });
    after(async () => {
      await proxy.close();
      await mongo.close();
    });

    for (const code of [85, 86]) {
      it(`keeps it from starting, if another index is in the way (${code})`, async () => {
        proxy.answerTo('createIndexes', { ok: 0, code, errmsg: 'secret' });
        const mongoDatabase = mongo.database();
        const opening = openStore({ kind: 'mongo', mongoURI: proxy.uri, mongoDatabase });
        await assert.rejects(opening, (thrown: EncServerError) => {
          assert.equal(thrown.code, 'BAD_CONFIG');
          assert.ok(thrown.message.includes(`${mongoDatabase}.values has an index on e`));
          assert.match(thrown.describe(), /named e_1.*dropIndex/);
          assert.doesNotMatch(thrown.describe(), /secret/);
          return true;
        });
      });
    }

    it('says of a write that too few members confirmed it, and nothing of a connection', async () => {
      const writeConcernError = { code: 64, errmsg: 'secret', errInfo: { wtimeout: true } };
      const mongoDatabase = mongo.database();
      const store = await openStore({ kind: 'mongo', mongoURI: proxy.uri, mongoDatabase });
      const key = recordKey(1);
      try {
        const put = async (body: string, condition = ALWAYS) =>
          store.put(key, value(body), condition);
        const seen = async () => ifRevision((await store.head(key))?.revision as Buffer);
        const writes: [command: string, write: () => Promise<unknown>, left: string | undefined][] =
          [
            ['insert', () => put('first'), 'first'],
            ['update', () => put('second'), 'second'],
            ['update', async () => put('third', await seen()), 'third'],
            ['findAndModify', () => store.delete(key), undefined],
          ];
        for (const [command, write, left] of writes) {
          proxy.answerTo(command, { ok: 1, n: 1, nModified: 1, writeConcernError });
          await assert.rejects(write(), (thrown: EncServerError) => {
            assert.equal(thrown.code, 'UNKNOWN_OUTCOME');
            assert.match(thrown.message, /^too few members of MongoDB confirmed the write \(64\)/);
            assert.doesNotMatch(thrown.describe(), /secret|connection|answer/);
            return true;
          });
          assert.equal((await store.get(key))?.body?.toString(), left);
        }
        assert.equal(store.health().ok, true);
      } finally {
        await store.close();
      }
    });
  });
}
