/** The parts of the MongoDB store that need no MongoDB. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { MongoBulkWriteError, MongoNetworkError, MongoServerError } from 'mongodb';
import { EncServerError } from '../../lib/errors.ts';
import { createClient, mongoPlace, valuesOf } from '../../lib/store/mongo-client.ts';
import {
  checkDocument,
  decodeHead,
  decodeValue,
  encodeDocument,
  isExpired,
  MONGO_BODY_BYTES_MAX,
  pageQuery,
  SMALL_BODY_BYTES_MAX,
  type ValueDocument,
} from '../../lib/store/mongo-document.ts';
import {
  bulkFailure,
  isRefusal,
  maybeDone,
  notDone,
  reasonOf,
} from '../../lib/store/mongo-error.ts';
import { openStore } from '../../lib/store/open.ts';
import { recordKey, rejectsWith, value } from '../helpers/store-values.ts';

const REVISION = Buffer.alloc(8, 7);
const FOREIGN = Buffer.from('02ff00', 'hex');

describe('documents', () => {
  it('hold a value, a large body under a name of its own', () => {
    for (const bodyBytes of [0, 1, SMALL_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX + 1]) {
      const one = value(Buffer.alloc(bodyBytes, 3), 5);
      const document = encodeDocument(recordKey(1), one, REVISION);
      assert.deepEqual(
        ['v' in document, 'b' in document],
        [bodyBytes <= 65_536, bodyBytes > 65_536],
      );
      const { body, bodyBytes: size, head, revision, expiryMs } = decodeValue(document, 1e9);
      assert.deepEqual([body, size, head], [one.body, bodyBytes, one.head]);
      assert.deepEqual([revision, expiryMs], [REVISION, 5]);
      assert.equal(decodeValue(document, bodyBytes - 1).body, undefined);
    }
  });

  it('expire as MongoDB expires them, unless the time is beyond its dates', () => {
    const expiries: [ms: number, e: unknown, isGone: boolean][] = [
      [0, undefined, false],
      [1000, new Date(1000), true],
      [1001, new Date(1001), false],
      [8.64e15 + 2, 8.64e15 + 2, false],
    ];
    for (const [expiryMs, e, isGone] of expiries) {
      const document = encodeDocument(recordKey(1), value('x', expiryMs), REVISION);
      assert.deepEqual(document.e, e);
      assert.equal(decodeHead(document).expiryMs, expiryMs);
      assert.equal(isExpired(document, 1000), isGone);
    }
  });

  it('name the key in hexadecimal where keys differ in length', () => {
    assert.equal(encodeDocument(FOREIGN, value('x'), REVISION).k, '02ff00');
    assert.equal(encodeDocument(recordKey(1), value('x'), REVISION).k, undefined);
  });

  it('are refused where MongoDB has no place for them', () => {
    const large = value(Buffer.alloc(MONGO_BODY_BYTES_MAX + 1));
    assert.throws(() => checkDocument(recordKey(1), large), { code: 'RECORD_TOO_LARGE' });
    checkDocument(recordKey(1), value(Buffer.alloc(MONGO_BODY_BYTES_MAX)));
    const short = recordKey(1).subarray(0, 26);
    assert.throws(() => checkDocument(short, value('x')), { code: 'INVALID_FIELD' });
    checkDocument(FOREIGN, value('x'));
  });

  it('that are none are damage', () => {
    const good = encodeDocument(recordKey(1), value('body'), REVISION);
    const faults: Partial<Record<keyof ValueDocument, unknown>>[] = [
      { h: 'text' },
      { r: Buffer.alloc(7) },
      { n: 3 },
      { n: 'x' },
      { n: -1 },
      { n: MONGO_BODY_BYTES_MAX + 1 },
      { n: 2 ** 32 },
      { h: Buffer.alloc(4097) },
      { e: -5 },
      { e: new Date(-5) },
      { v: undefined },
      { e: 'soon' },
      { e: 0.5 },
    ];
    for (const fault of faults) {
      const bad = { ...good, ...fault } as ValueDocument;
      const message = `the document under the store key ${recordKey(1).toString('hex')} in MongoDB is no value of this program`;
      const error = { code: 'STORE_DAMAGED', message };
      assert.throws(() => decodeValue(bad, 1e9), error, JSON.stringify(fault));
    }
  });
});

describe('pages', () => {
  const bounds = (prefix: string, after?: string) => {
    const { filter } = pageQuery(
      Buffer.from(prefix, 'hex'),
      after ? Buffer.from(after, 'hex') : undefined,
    );
    return Object.entries(filter).map(([field, range]) => {
      const parts = Object.entries(range).map(([operator, bound]) => {
        const hex = Buffer.isBuffer(bound) ? bound.toString('hex').replace(/(00)+$/, '…') : bound;
        return `${operator} ${hex}`;
      });
      return `${field} ${parts.join(' ')}`;
    })[0];
  };

  it('of records are ranges of keys of one length', () => {
    assert.equal(bounds('01'), '_id $gte 01… $lt 02…');
    assert.equal(bounds('01ff'), '_id $gte 01ff… $lt 02…');
    assert.equal(bounds('01aa', '01'), '_id $gte 01aa… $lt 01ab…');
    assert.equal(bounds('01aa', '01aa05'), '_id $gte 01aa05… $lt 01ab…');
    const whole = `01aa${'11'.repeat(25)}`;
    assert.equal(bounds('01aa', whole), `_id $gt ${whole} $lt 01ab…`);
    assert.equal(bounds('01aa', `${whole}22`), `_id $gt ${whole} $lt 01ab…`);
  });

  it('of others are ranges of hexadecimal', () => {
    assert.equal(bounds('02'), 'k $gte 02 $lt 03');
    assert.equal(bounds('02', '02ff00'), 'k $gt 02ff00 $lt 03');
    assert.equal(bounds('00ff', '00'), 'k $gte 00ff $lt 01');
  });
});

describe('errors of the driver', () => {
  const secret = 'mongodb://user:secret@host/';
  const refused = Object.assign(new Error(secret), { code: 18 });

  it('are told by name and code', () => {
    const cause = Object.assign(new Error(secret), { code: 'ECONNREFUSED' });
    const broken = new MongoNetworkError(secret, { cause });
    assert.equal(reasonOf(broken), 'MongoNetworkError Error ECONNREFUSED');
    assert.equal(reasonOf(notDone(broken)), reasonOf(broken));
    assert.equal(reasonOf(new EncServerError('BAD_CONFIG', 'x')), 'BAD_CONFIG');
    assert.equal(reasonOf('?'), 'unknown');
  });

  it('leave open whether a write was done, unless the user was refused', () => {
    const broken = new MongoNetworkError(secret);
    assert.deepEqual(
      [notDone(broken).code, maybeDone(broken).code],
      ['UNAVAILABLE', 'UNKNOWN_OUTCOME'],
    );
    assert.deepEqual(
      [notDone(refused).code, maybeDone(refused).code],
      ['UNAVAILABLE', 'UNAVAILABLE'],
    );
    assert.deepEqual([isRefusal(notDone(refused)), isRefusal(broken)], [true, false]);
    const single = (code: number) => new MongoServerError({ index: 0, code, errmsg: secret });
    const codes = [14031, 121, 11602].map((code) => maybeDone(single(code)).code);
    assert.deepEqual(codes, ['UNAVAILABLE', 'UNAVAILABLE', 'UNKNOWN_OUTCOME']);
    assert.equal(maybeDone(new MongoServerError({ ok: 0, code: 14031 })).code, 'UNKNOWN_OUTCOME');
    const ours = new EncServerError('STORE_DAMAGED', 'x');
    assert.deepEqual([notDone(ours), maybeDone(ours)], [ours, ours]);
    for (const error of [notDone(broken), maybeDone(broken), notDone(refused)]) {
      assert.doesNotMatch(error.describe(), /secret/);
    }
  });

  it('of a group are taken apart by place', () => {
    const writeErrors = [
      { index: 1, code: 11000 },
      { index: 3, code: 121 },
      { index: 4, code: 11602 },
    ];
    const partly = bulkFailure({ writeErrors });
    assert.deepEqual([...partly.duplicates], [1]);
    const refusals = [...partly.refused].map(([index, { code }]) => `${index} ${code}`);
    assert.deepEqual(refusals, ['3 UNAVAILABLE', '4 UNKNOWN_OUTCOME']);
    assert.equal(partly.unknown, undefined);

    const lacking = bulkFailure({
      writeErrors,
      result: { getWriteConcernError: () => ({ code: 64 }) },
    });
    assert.equal(lacking.unknown?.code, 'UNKNOWN_OUTCOME');

    const lost = new MongoNetworkError('lost');
    const wrapped = new MongoBulkWriteError(lost as unknown as MongoServerError, {} as never);
    const whole = bulkFailure(wrapped);
    assert.deepEqual([whole.duplicates.size, whole.unknown?.code], [0, 'UNKNOWN_OUTCOME']);
  });
});

describe('connection strings', () => {
  it('become a place without user, password and options', () => {
    const places: [uri: string, place: string][] = [
      ['mongodb://localhost:27017', 'mongodb://localhost:27017/db'],
      ['mongodb://u:secret@a:1,b:2/admin?replicaSet=r', 'mongodb://a:1,b:2/db'],
      ['mongodb+srv://u:secret@host.example/?w=1', 'mongodb+srv://host.example/db'],
      ['mongodb://u:sec@ret/x:y@host/', 'mongodb://host/db'],
      ['mongodb://host?password=secret', 'mongodb://host/db'],
    ];
    for (const [uri, place] of places) assert.equal(mongoPlace(uri, 'db'), place);
  });

  it('that are none are refused, and not quoted', async () => {
    const bad = ['mongodb://u:secret@host:99999/', 'mongodb://u:secret%ZZ@host/', 'secret'];
    for (const uri of bad) {
      await assert.rejects(createClient(uri), (thrown: EncServerError) => {
        assert.equal(thrown.code, 'BAD_CONFIG');
        assert.doesNotMatch(`${thrown.stack}${thrown.hint}${thrown.cause}`, /secret/);
        return true;
      });
    }
  });

  it('cannot weaken what acknowledged means', async () => {
    const options =
      'w=1&journal=false&readConcernLevel=local&readPreference=secondary&maxPoolSize=7';
    const client = await createClient(`mongodb://localhost/?${options}`);
    const values = valuesOf(client, 'db');
    assert.deepEqual([values.writeConcern?.w, values.writeConcern?.journal], ['majority', true]);
    assert.deepEqual(
      [values.readConcern?.level, values.readPreference?.mode],
      ['majority', 'primary'],
    );
    assert.equal(client.options.maxPoolSize, 7);
    await client.close();
  });
});

describe('a store without MongoDB', () => {
  it('needs to be told where it is', async () => {
    await rejectsWith(openStore({ kind: 'mongo', mongoURI: 'mongodb://h' }), 'BAD_CONFIG');
  });

  it('does not open if a file is missing that the connection string names, or a folder', async () => {
    for (const path of ['/no-such-folder/secret.pem', '/']) {
      const mongoURI = `mongodb://127.0.0.1:1/?tls=true&tlsCAFile=${path}`;
      const opening = openStore({ kind: 'mongo', mongoURI, mongoDatabase: 'none' });
      await assert.rejects(opening, (thrown: EncServerError) => {
        assert.equal(thrown.code, 'BAD_CONFIG');
        assert.doesNotMatch(thrown.describe(), /secret/);
        return true;
      });
    }
  });

  it('opens, refuses everything, and closes', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    const logged: string[] = [];
    const store = await openStore({
      kind: 'mongo',
      mongoURI: `mongodb://user:secret@127.0.0.1:${port}`,
      mongoDatabase: 'none',
      log: (level, message, facts) => logged.push(`${level} ${message} ${JSON.stringify(facts)}`),
    });
    try {
      assert.equal(store.place, `mongodb://127.0.0.1:${port}/none`);
      assert.deepEqual(store.health(), { ok: false, reason: 'MongoDB cannot be reached' });
      const key = recordKey(1);
      await rejectsWith(store.put(key, value('x')), 'UNAVAILABLE');
      await rejectsWith(store.put(Buffer.alloc(1), value('x')), 'INVALID_FIELD');
      await rejectsWith(store.get(key), 'UNAVAILABLE');
      await rejectsWith(store.delete(key), 'UNAVAILABLE');
      await rejectsWith(store.scan(key, undefined, 1), 'UNAVAILABLE');
      await rejectsWith(store.stats(), 'UNAVAILABLE');
      await rejectsWith(store.snapshot(), 'UNAVAILABLE');
      assert.equal(await store.sweepExpired(1), 0);
      assert.match(logged.join('\n'), /^warn MongoDB cannot be used .*ECONNREFUSED/);
      assert.doesNotMatch(logged.join('\n'), /secret/);
    } finally {
      await store.close();
    }
    assert.equal(store.health().reason, 'the store is closed');
  });
});
