/** Answers of MongoDB that are no success, as they come over the wire. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EncServerError } from '../../lib/errors.ts';
import { openStore } from '../../lib/store/open.ts';
import { MongoProxy } from '../helpers/mongo-proxy.ts';
import { NO_MONGO, openTestMongo, type TestMongo } from '../helpers/mongo-server.ts';

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
  });
}
