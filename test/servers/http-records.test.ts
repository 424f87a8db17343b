import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { FeClient, parseAddress } from '../../lib/fe/client.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

interface Stored {
  readonly key?: string;
  readonly revision: string;
  readonly replaced: boolean;
}

describe('/v1/records', () => {
  let servers: TestServers;
  let port: number;
  before(async () => {
    servers = await startServers({ feServerConfigs: { recordBytesMax: '1MiB' } });
    port = servers.fe.port;
  });
  after(() => servers.close());

  const put = (id: string, body: string | Buffer, headers = {}) =>
    http(port, 'PUT', `/v1/records/${id}`, { headers, body });
  const get = (id: string, key: string | undefined, headers = {}) =>
    http(port, 'GET', `/v1/records/${id}`, { headers: { 'Enc-Record-Key': key, ...headers } });

  it('stores bytes and gives them back with their type and revision', async () => {
    const record = randomBytes(5_000);
    const stored = await put('alice', record, { 'Content-Type': 'image/x-noise; n=1' });
    assert.equal(stored.status, 201);
    const { key, revision, replaced } = stored.json<Stored>();
    assert.match(String(key), /^[0-9a-f]{64}$/);
    assert.match(revision, /^[0-9a-f]{16}$/);
    assert.equal(replaced, false);
    assert.equal(stored.headers['etag'], `"${revision}"`);
    const read = await get('alice', key);
    assert.equal(read.status, 200);
    assert.deepEqual(read.body, record);
    assert.equal(read.headers['content-type'], 'image/x-noise; n=1');
    assert.equal(read.headers['etag'], `"${revision}"`);
    assert.equal(read.headers['cache-control'], 'no-store');
    assert.equal(read.headers['x-content-type-options'], 'nosniff');
  });

  it('answers 200 when a record was replaced', async () => {
    await put('again', 'one');
    const second = await put('again', 'two');
    assert.equal(second.status, 200);
    assert.equal(second.json<Stored>().replaced, true);
    const read = await get('again', second.json<Stored>().key);
    assert.equal(read.body.toString(), 'two');
    assert.equal(read.headers['content-type'], 'application/octet-stream');
  });

  it("takes the caller's key, and then tells none", async () => {
    const key = randomBytes(32).toString('hex');
    const stored = await put('own', 'mine', { 'Enc-Record-Key': key.toUpperCase() });
    assert.deepEqual(Object.keys(stored.json()), ['revision', 'replaced']);
    assert.equal((await get('own', key)).body.toString(), 'mine');
  });

  it('keeps an empty record', async () => {
    const { key } = (await put('empty', '')).json<Stored>();
    const read = await get('empty', key);
    assert.equal(read.status, 200);
    assert.equal(read.body.length, 0);
  });

  it('carries large records, and refuses those above the maximum', async () => {
    const record = randomBytes(1024 * 1024);
    const { key } = (await put('large', record)).json<Stored>();
    assert.ok((await get('large', key)).body.equals(record));
    const over = await put('large', Buffer.alloc(1024 * 1024 + 1));
    assert.equal(over.status, 413);
    assert.equal(over.json()['code'], 'RECORD_TOO_LARGE');
  });

  it('shares its records with the binary dialect', async () => {
    const client = new FeClient({ address: parseAddress(`127.0.0.1:${port}`) });
    try {
      const { key } = await client.store('both/ways ü', Buffer.from('x'), { namespace: 'a b' });
      const id = encodeURIComponent('both/ways ü');
      const read = await get(id, key.toString('hex'), { 'Enc-Namespace': 'a%20b' });
      assert.equal(read.body.toString(), 'x');
      assert.equal((await get(id, key.toString('hex'))).status, 404);
      await assert.rejects(
        client.store('1', Buffer.from('x'), { namespace: 'enc-server-ts/data' }),
        { code: 'INVALID_NAMESPACE' },
      );
    } finally {
      client.close();
    }
  });

  it('takes the ID in a header, any bytes of it', async () => {
    const headers = { 'Enc-Record-Id': '%FF%00 b'.replace(' ', '%20') };
    const stored = await http(port, 'PUT', '/v1/record', { headers, body: 'bytes' });
    const { key } = stored.json<Stored>();
    const found = await http(port, 'GET', '/v1/record', {
      headers: { ...headers, 'Enc-Record-Key': key },
    });
    assert.equal(found.body.toString(), 'bytes');
    const client = new FeClient({ address: parseAddress(`127.0.0.1:${port}`) });
    const id = Buffer.from([0xff, 0x00, 0x20, 0x62]);
    const same = await client.retrieve(id, Buffer.from(String(key), 'hex'));
    client.close();
    assert.equal(same.record.toString(), 'bytes');
    assert.equal((await http(port, 'DELETE', '/v1/record', { headers })).status, 204);
    const missing = await http(port, 'GET', '/v1/record');
    assert.equal(missing.status, 400);
    assert.equal(missing.json()['code'], 'MISSING_FIELD');
  });

  it('tells HEAD the entity tag without a key, and all but the record with it', async () => {
    const { key, revision } = (await put('head', 'seven b')).json<Stored>();
    const bare = await http(port, 'HEAD', '/v1/records/head');
    assert.equal(bare.status, 200);
    assert.equal(bare.headers['etag'], `"${revision}"`);
    assert.equal(bare.headers['content-type'], undefined);
    assert.equal(bare.headers['content-length'], undefined);
    const full = await http(port, 'HEAD', '/v1/records/head', {
      headers: { 'Enc-Record-Key': key },
    });
    assert.equal(full.headers['content-length'], '7');
    assert.equal((await http(port, 'HEAD', '/v1/records/nobody')).status, 404);
    const fresh = { 'If-None-Match': `"${revision}"` };
    const same = await http(port, 'HEAD', '/v1/records/head', { headers: fresh });
    assert.equal(same.status, 304);
  });

  it('tells HEAD and GET when the record ends, where it has not changed too', async () => {
    const { key, revision } = (await put('ends', 'x', { 'Enc-Ttl': '60' })).json<Stored>();
    const fresh = { 'If-None-Match': `"${revision}"` };
    const withKey = { 'Enc-Record-Key': key };
    const seen = new Set<unknown>();
    for (const [method, headers, status] of [
      ['HEAD', {}, 200],
      ['HEAD', fresh, 304],
      ['HEAD', { ...fresh, ...withKey }, 304],
      ['GET', { ...fresh, ...withKey }, 304],
      ['GET', withKey, 200],
    ] as const) {
      const answer = await http(port, method, '/v1/records/ends', { headers });
      assert.equal(answer.status, status);
      seen.add(answer.headers['enc-expires']);
    }
    assert.equal(seen.size, 1);
    assert.match(String([...seen][0]), /^\d{4}-.*Z$/);
  });

  it('takes of HEAD who reads a record that can be read once, as of GET', async () => {
    const { key } = (await put('once', 'x', { 'Enc-Once': '1' })).json<Stored>();
    const reader = randomBytes(16).toString('hex');
    const head = async (headers: object) =>
      (
        await http(port, 'HEAD', '/v1/records/once', {
          headers: { 'Enc-Record-Key': key, ...headers },
        })
      ).status;
    assert.equal((await get('once', key, { 'Enc-Reader': reader })).status, 200);
    assert.equal(await head({ 'Enc-Reader': reader }), 200);
    assert.equal(await head({}), 410);
    assert.equal(await head({ 'Enc-Reader': 'zz' }), 400);
  });

  it('deletes, with the right key or none', async () => {
    const { key } = (await put('gone', 'x')).json<Stored>();
    const wrong = { 'Enc-Record-Key': randomBytes(32).toString('hex') };
    const refused = await http(port, 'DELETE', '/v1/records/gone', { headers: wrong });
    assert.equal(refused.status, 403);
    assert.equal(refused.json()['code'], 'WRONG_KEY');
    const headers = { 'Enc-Record-Key': key };
    assert.equal((await http(port, 'DELETE', '/v1/records/gone', { headers })).status, 204);
    assert.equal((await http(port, 'DELETE', '/v1/records/gone')).status, 204);
    assert.equal((await get('gone', key)).status, 404);
  });

  it('writes and deletes under conditions, else 412', async () => {
    const absent = { 'If-None-Match': '*' };
    const first = await put('cond', 'one', absent);
    assert.equal(first.status, 201);
    const { revision } = first.json<Stored>();
    const refused = await put('cond', 'two', absent);
    assert.equal(refused.status, 412);
    assert.equal(refused.json()['code'], 'CONFLICT');
    assert.equal((await put('cond', 'two', { 'If-Match': '"0000000000000000"' })).status, 412);
    assert.equal((await put('cond', 'two', { 'If-Match': `W/"${revision}"` })).status, 412);
    const list = { 'If-Match': `"other", "${revision}"` };
    const second = (await put('cond', 'two', list)).json<Stored>().revision;
    const third = await put('cond', 'three', { 'If-Match': `"${second}"` });
    assert.equal(third.status, 200);
    assert.equal((await put('cond', 'four', { 'If-Match': '*' })).status, 200);
    assert.equal((await put('nobody', 'x', { 'If-Match': '*' })).status, 412);
    const tag = String((await http(port, 'HEAD', '/v1/records/cond')).headers['etag']);
    assert.equal((await put('cond', 'five', { 'If-None-Match': tag })).status, 412);
    const remove = (headers: Record<string, string>, id = 'cond') =>
      http(port, 'DELETE', `/v1/records/${id}`, { headers });
    assert.equal((await remove({ 'If-Match': `"${second}"` })).status, 412);
    assert.equal((await remove({ 'If-None-Match': '*' })).status, 412);
    assert.equal((await remove({ 'If-None-Match': '*' }, 'nobody')).status, 204);
    assert.equal((await remove({ 'If-Match': tag })).status, 204);
    assert.equal((await remove({ 'If-Match': tag })).status, 412);
    const key = { 'Enc-Record-Key': randomBytes(32).toString('hex') };
    assert.equal((await remove({ 'If-Match': tag, ...key })).status, 412);
  });

  it('reads under conditions', async () => {
    const { key, revision } = (await put('read', 'x')).json<Stored>();
    assert.equal((await get('read', key, { 'If-None-Match': `"${revision}"` })).status, 304);
    assert.equal((await get('read', key, { 'If-None-Match': '"another"' })).status, 200);
    assert.equal((await get('read', key, { 'If-Match': '"another"' })).status, 412);
    assert.equal((await get('read', key, { 'If-Match': `"${revision}"` })).status, 200);
  });

  it('does not care what the type is said to be of a body that it does not take', async () => {
    const { key } = (await put('typed', 'x')).json<{ key: string }>();
    const newKey = randomBytes(32).toString('hex');
    const keys = { 'Enc-Old-Key': key, 'Enc-Record-Key': newKey };
    // Of itself, Node's client tells the length of a POST alone.
    const content = { 'Content-Type': 'no type', 'Content-Length': 4 };
    const headers = { ...keys, ...content, 'Enc-Record-Id': 'typed' };
    for (const [method, path, status] of [
      ['POST', '/v1/records/typed/rekey', 200],
      ['POST', '/v1/record/rekey', 200],
      ['DELETE', '/v1/records/typed', 204],
      ['DELETE', '/v1/record', 204],
    ] as const) {
      const answer = await http(port, method, path, { headers, body: 'left' });
      assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
    }
  });

  it('answers what is wrong as problem details', async () => {
    const key = randomBytes(32).toString('hex');
    const tag = { 'If-Match': 'no quotes' };
    const reserved = { 'Enc-Namespace': 'enc-server-ts/data' };
    const cases: [Promise<Awaited<ReturnType<typeof put>>>, number, string][] = [
      [get('nobody', key), 404, 'NOT_FOUND'],
      [http(port, 'GET', '/v1/records/alice'), 400, 'MISSING_FIELD'],
      [get('alice', 'abc'), 400, 'INVALID_KEY'],
      [get('alice', key), 403, 'WRONG_KEY'],
      [put('weak', 'x', { 'Enc-Record-Key': '00'.repeat(32) }), 400, 'WEAK_KEY'],
      [put('i'.repeat(1_025), 'x'), 400, 'INVALID_ID'],
      [put('n', 'x', { 'Enc-Namespace': 'n'.repeat(256) }), 400, 'INVALID_NAMESPACE'],
      [put('n', 'x', { 'Enc-Namespace': '%zz' }), 400, 'INVALID_NAMESPACE'],
      [put('1', 'x', reserved), 400, 'INVALID_NAMESPACE'],
      [http(port, 'DELETE', '/v1/records/1', { headers: reserved }), 400, 'INVALID_NAMESPACE'],
      [put('t', 'x', tag), 400, 'INVALID_FIELD'],
      [put('t', 'x', { 'Content-Type': 'no type' }), 415, 'INVALID_FIELD'],
      [put('%ff', 'x'), 400, 'INVALID_FIELD'],
      [http(port, 'POST', '/v1/records/alice'), 405, 'UNKNOWN_VERB'],
      [http(port, 'GET', '/v1/nothing'), 404, 'NOT_FOUND'],
    ];
    for (const [answering, status, code] of cases) {
      const answer = await answering;
      assert.equal(answer.status, status, `${code}: ${answer.body}`);
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      const problem = answer.json();
      assert.equal(problem['code'], code);
      assert.equal(problem['status'], status);
      assert.equal(problem['type'], 'about:blank');
      for (const field of ['title', 'detail']) assert.equal(typeof problem[field], 'string');
      assert.ok(!answer.body.includes(key));
    }
  });

  it('takes odd paths for what they are', async () => {
    const { key } = (await put('..%2F..%2Fetc%2Fpasswd', 'mine')).json<Stored>();
    assert.equal((await get('..%2f..%2fetc%2fpasswd', key)).body.toString(), 'mine');
    for (const path of [
      '/v1/records/',
      '/v1/records/a/b',
      '/v1/records/../records/a',
      '//v1/records/a',
      '/V1/records/a',
      '/docs/static/..%2f..%2fpackage.json',
      '/docs/static/../../package.json',
      '/%2e%2e/package.json',
    ]) {
      const { status } = await http(port, 'GET', path, { headers: { 'Enc-Record-Key': key } });
      assert.ok([400, 403, 404].includes(status), `${path}: ${status}`);
    }
  });
});
