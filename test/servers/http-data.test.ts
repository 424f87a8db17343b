import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

describe('/data', () => {
  let servers: TestServers;
  let port: number;
  before(async () => {
    servers = await startServers({ feServerConfigs: { recordBytesMax: '8KiB' } });
    port = servers.fe.port;
  });
  after(() => servers.close());
  const post = (body: unknown) => httpJson(port, 'POST', '/data', body);
  const list = async (query = '') => (await http(port, 'GET', `/data${query}`)).json<number[]>();

  it('does what the demo does', async () => {
    assert.deepEqual(await list(), []);
    const item = { id: 1, data: 'TestString' };
    const created = await post(item);
    assert.equal(created.status, 200);
    assert.deepEqual(created.json(), item);
    assert.match(String(created.headers['content-type']), /^application\/json/);
    const read = await http(port, 'GET', '/data/1');
    assert.equal(read.status, 200);
    assert.deepEqual(read.json(), item);
    assert.deepEqual(await list(), [1]);
  });

  it('takes the next ID after the highest where its own is taken', async () => {
    assert.deepEqual((await post({ id: 10, data: 'ten' })).json(), { id: 10, data: 'ten' });
    assert.deepEqual((await post({ id: 1, data: 'again' })).json(), { id: 11, data: 'again' });
    assert.deepEqual((await post({ id: 5, data: 'between' })).json(), { id: 5, data: 'between' });
    assert.deepEqual((await post({ id: 5, data: 'more' })).json(), { id: 12, data: 'more' });
    assert.deepEqual((await http(port, 'GET', '/data/1')).json(), { id: 1, data: 'TestString' });
    assert.equal((await http(port, 'GET', '/data/1.0')).status, 200);
    assert.deepEqual(await list(), [1, 5, 10, 11, 12]);
  });

  it('takes "5" for 5, and negative IDs', async () => {
    assert.deepEqual((await post({ id: '20', data: 'text' })).json(), { id: 20, data: 'text' });
    assert.deepEqual((await post({ id: -3, data: 'less' })).json(), { id: -3, data: 'less' });
    assert.deepEqual((await http(port, 'GET', '/data/-3')).json(), { id: -3, data: 'less' });
    assert.equal((await list())[0], -3);
  });

  it('keeps texts in any language', async () => {
    const data = 'Grüße, 世界 \u{1f511} \u0000 "\\';
    const { id } = (await post({ id: 21, data })).json();
    assert.deepEqual((await http(port, 'GET', `/data/${id}`)).json(), { id, data });
  });

  it('lists in pages', async () => {
    assert.deepEqual(await list('?after=5&limit=2'), [10, 11]);
    assert.deepEqual(await list('?limit=1'), [-3]);
    assert.deepEqual(await list('?after=21'), []);
    for (const query of ['?limit=0', '?limit=x', '?after=', '?limit=-1', '?after=1.5']) {
      assert.equal((await http(port, 'GET', `/data${query}`)).status, 422, query);
    }
  });

  it('answers 404 in the words of the demo', async () => {
    const missing = await http(port, 'GET', '/data/777');
    assert.equal(missing.status, 404);
    assert.deepEqual(missing.json(), { detail: 'Item with id 777 not found' });
  });

  it('answers 400 for empty data, also where the ID is taken', async () => {
    for (const id of [1, 999]) {
      const empty = await post({ id, data: '' });
      assert.equal(empty.status, 400);
      assert.deepEqual(empty.json(), { detail: 'Invalid or missing data' });
    }
  });

  it('answers 422 for a wrong shape, and says where', async () => {
    const cases: [unknown, (string | number)[], string][] = [
      [{ data: 'x' }, ['body', 'id'], 'value_error.missing'],
      [{ id: 1 }, ['body', 'data'], 'value_error.missing'],
      [{ id: 'x', data: 'x' }, ['body', 'id'], 'type_error.integer'],
      [{ id: 1.5, data: 'x' }, ['body', 'id'], 'type_error.integer'],
      [{ id: 2 ** 53, data: 'x' }, ['body', 'id'], 'value_error.number.not_le'],
      [{ id: -(2 ** 53), data: 'x' }, ['body', 'id'], 'value_error.number.not_ge'],
      [{ id: '9007199254740992', data: 'x' }, ['body', 'id'], 'value_error.number.not_le'],
      [{ id: null, data: 'x' }, ['body', 'id'], 'type_error.none.not_allowed'],
      [{ id: 1, data: 5 }, ['body', 'data'], 'type_error.str'],
      [{ id: 1, data: '\ud800' }, ['body', 'data'], 'value_error.unicode'],
      [[1], ['body'], 'type_error.dict'],
      ['text', ['body'], 'type_error.dict'],
    ];
    for (const [body, loc, type] of cases) {
      const refused = await post(body);
      assert.equal(refused.status, 422, JSON.stringify(body));
      const [complaint] = refused.json<{ detail: Record<string, unknown>[] }>().detail;
      assert.deepEqual(complaint?.['loc'], loc);
      assert.equal(complaint?.['type'], type);
      assert.equal(typeof complaint?.['msg'], 'string');
    }
    const path = await http(port, 'GET', '/data/abc');
    assert.equal(path.status, 422);
    assert.deepEqual(path.json<{ detail: { loc: string[] }[] }>().detail[0]?.loc, [
      'path',
      'item_id',
    ]);
  });

  it('says which bound a number is beyond, and of nothing else that it has one', async () => {
    const bound = 'ensure this value is greater than or equal to';
    const integer = 'value is not a valid integer';
    for (const [path, msg] of [
      ['/data?limit=0', `${bound} 1`],
      ['/data?limit=-5.0', `${bound} 1`],
      ['/data?limit=x', integer],
      ['/data?limit=1&limit=2', integer],
      ['/data?after=1.5', integer],
      ['/data?after=-9007199254740992', `${bound} -9007199254740991`],
      ['/data/9007199254740992', 'ensure this value is less than or equal to 9007199254740991'],
      ['/data/abc', integer],
    ] as const) {
      const { detail } = (await http(port, 'GET', path)).json<{ detail: { msg: string }[] }>();
      assert.deepEqual([detail.length, detail[0]?.msg], [1, msg], path);
    }
  });

  it('answers 422 for what is no JSON, without quoting it', async () => {
    const types = [
      ['application/json', '{"id":1,"data":"sekrit'],
      ['application/json', Buffer.from('{"id":1,"data":"\xff"}', 'latin1')],
      ['application/json', ''],
      ['text/plain', '{"id":1,"data":"sekrit"}'],
      ['application/x-www-form-urlencoded', 'id=1&data=sekrit'],
      ['json', '{"id":1,"data":"sekrit"}'],
    ] as const;
    for (const [type, body] of types) {
      const refused = await http(port, 'POST', '/data', {
        headers: { 'Content-Type': type },
        body,
      });
      assert.equal(refused.status, 422, `${type} ${body}`);
      assert.doesNotMatch(refused.body.toString(), /sekrit/);
      assert.ok(Array.isArray(refused.json()['detail']));
    }
  });

  it('takes JSON without a type', async () => {
    const created = await http(port, 'POST', '/data', { body: '{"id":30,"data":"untyped"}' });
    assert.deepEqual(created.json(), { id: 30, data: 'untyped' });
  });

  it('answers 413 for an item that is too large, and does not count it', async () => {
    const large = await post({ id: 1_000, data: 'x'.repeat(8 * 1024 + 1) });
    assert.equal(large.status, 413);
    assert.equal((await post({ id: 1_000, data: 'x'.repeat(100 * 1024) })).status, 413);
    const { id } = (await post({ id: 1, data: 'next' })).json();
    assert.equal(id, 31);
  });

  it('answers 405 with Allow, and 404 for a deeper path', async () => {
    const wrong = await http(port, 'DELETE', '/data');
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers['allow'], 'GET, HEAD, POST');
    assert.equal(typeof wrong.json()['detail'], 'string');
    assert.equal((await http(port, 'PUT', '/data/1')).headers['allow'], 'GET, HEAD');
    assert.equal((await http(port, 'GET', '/data/1/2')).status, 404);
  });

  it('answers 503 while the back end is away', async () => {
    const away = await startServers();
    try {
      await away.stopBe();
      const refused = await httpJson(away.fe.port, 'POST', '/data', { id: 1, data: 'x' });
      assert.equal(refused.status, 503);
      assert.equal(refused.headers['retry-after'], '1');
      assert.equal((await http(away.fe.port, 'GET', '/data')).status, 503);
    } finally {
      await away.close();
    }
  });
});
