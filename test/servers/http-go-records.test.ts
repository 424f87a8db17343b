import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import pino from 'pino';
import { FeClient, parseAddress } from '../../lib/fe/client.ts';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const hex = (text: string) => Buffer.from(text).toString('hex');

describe('/records', () => {
  let servers: TestServers;
  let port: number;
  const logged: string[] = [];
  before(async () => {
    const log = pino({ level: 'trace' }, { write: (line: string) => logged.push(line) });
    servers = await startServers({}, log);
    port = servers.fe.port;
  });
  after(() => servers.close());
  const post = (body: unknown, type = 'application/json') =>
    http(port, 'POST', '/records', {
      headers: { 'Content-Type': type },
      body: JSON.stringify(body),
    });

  it('says of an ID that it is in hexadecimal digits', async () => {
    const answer = await http(port, 'DELETE', '/records/zz');
    assert.equal(answer.status, 400);
    assert.match(answer.json<{ message: string }>().message, /two hexadecimal digits$/);
  });

  it('does what the Go client expects', async () => {
    const stored = await post({ id: hex('alice'), key: '', data: hex('hello') });
    assert.equal(stored.status, 201);
    const { id, key, data } = stored.json<Record<string, string>>();
    assert.deepEqual([id, data], [hex('alice'), hex('hello')]);
    assert.match(String(key), /^[0-9a-f]{64}$/);
    const found = await http(port, 'GET', `/records/${id}?key=${key}`);
    assert.equal(found.status, 200);
    assert.deepEqual(found.json(), { id, key, data: 'hello' });
    assert.equal((await http(port, 'DELETE', `/records/${id}`)).status, 202);
    const headers = { 'Content-Type': 'no type' };
    const again = await http(port, 'DELETE', `/records/${id}`, { headers });
    assert.deepEqual([again.status, again.body.toString()], [202, 'null']);
    const missing = await http(port, 'GET', `/records/${id}?key=${key}`);
    assert.equal(missing.status, 404);
    assert.equal(typeof missing.json()['message'], 'string');
    const told = logged.join('');
    assert.ok(!told.includes(String(key)) && !told.includes(hex('alice')));
  });

  it('decodes the hexadecimal digits, so that other dialects find the record', async () => {
    const { key } = (await post({ id: hex('bob'), data: hex('hi') })).json();
    const client = new FeClient({ address: parseAddress(`127.0.0.1:${port}`) });
    const { record } = await client.retrieve('bob', Buffer.from(String(key), 'hex'));
    client.close();
    assert.equal(record.toString(), 'hi');
  });

  it("takes the caller's key", async () => {
    const key = randomBytes(32).toString('hex');
    const stored = await post({ id: '00', key, data: '' });
    assert.equal(stored.json()['key'], key);
    const found = await http(port, 'GET', `/records/00?key=${key}`);
    assert.equal(found.json()['data'], '');
  });

  it('answers failures with a message', async () => {
    const key = randomBytes(32).toString('hex');
    const binary = (await post({ id: 'ff', data: 'fffe' })).json<{ key: string }>().key;
    const json = { 'Content-Type': 'application/json' };
    const cases: [Promise<Awaited<ReturnType<typeof post>>>, number][] = [
      [post({ id: 'xyz', data: '' }), 400],
      [post({ id: '', data: '' }), 400],
      [post({ id: 'abc', data: '' }), 400],
      [post({ id: 'ab', data: 'zz' }), 400],
      [post({ id: 'ab', key: '12', data: '00' }), 400],
      [post({ data: '00' }), 400],
      [post([]), 400],
      [http(port, 'POST', '/records', { headers: json, body: '{' }), 400],
      [post({ id: 'ab', data: '00' }, 'text/plain'), 400],
      [post({ id: 'ab', data: '00' }, 'json'), 400],
      [http(port, 'POST', '/records'), 400],
      [http(port, 'GET', '/records/ab'), 400],
      [http(port, 'GET', '/records/ab?key='), 400],
      [http(port, 'GET', `/records/xy?key=${key}`), 400],
      [http(port, 'GET', `/records/ff?key=${key}`), 403],
      [http(port, 'GET', `/records/ff?key=${binary}`), 406],
      [http(port, 'DELETE', '/records/x'), 400],
      [http(port, 'PATCH', '/records/ab'), 405],
      [http(port, 'GET', '/records'), 405],
      [http(port, 'GET', '/records/a/b'), 404],
    ];
    for (const [index, [answering, status]] of cases.entries()) {
      const answer = await answering;
      assert.equal(answer.status, status, `case ${index}: ${answer.body}`);
      assert.deepEqual(Object.keys(answer.json()), ['message']);
      assert.ok(!answer.body.includes(key));
    }
  });

  it('answers 502 to a store whose back end cannot be reached', async () => {
    const away = await startServers();
    try {
      await away.stopBe();
      const stored = await httpJson(away.fe.port, 'POST', '/records', { id: 'ab', data: '' });
      assert.equal(stored.status, 502);
      assert.deepEqual(Object.keys(stored.json()), ['message']);
      const key = randomBytes(32).toString('hex');
      const found = await http(away.fe.port, 'GET', `/records/ab?key=${key}`);
      assert.equal(found.status, 503);
    } finally {
      await away.close();
    }
  });
});
