/** What HTTP asks of a server at its edges: RFC 9110 and 9112, and what callers must not lose. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeToken } from '../helpers/access.ts';
import { http, httpJson, RawHttp } from '../helpers/http.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';

const HOST = 'Host: localhost\r\n';
const key = () => randomBytes(32).toString('hex');
const request = (line: string, headers = HOST, body = '') =>
  `${line} HTTP/1.1\r\n${headers}\r\n${body}`;

let servers: TestServers;
let fe: number;
before(async () => {
  servers = await startServers({});
  fe = servers.fe.port;
});
after(() => servers.close());

/** All that comes back on a connection of its own until it ends. */
async function exchange(port: number, text: string): Promise<string> {
  const raw = new RawHttp(port);
  raw.write(text);
  await raw.closed;
  raw.destroy();
  return raw.received;
}

function statusesIn(received: string): number[] {
  return [...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
}

async function put(id: string, headers: Readonly<Record<string, string>>, body = 'hello') {
  return await http(fe, 'PUT', `/v1/records/${id}`, { headers, body });
}

describe('what cannot be read behind whole requests', () => {
  const store = request('PUT /v1/records/first', `${HOST}Content-Length: 5\r\n`, 'hello');

  for (const [what, rest] of [
    ['garbage', ' world'],
    ['no method', 'BAD\r\n\r\n'],
    ['a header too long', request('GET /healthz', `${HOST}X: ${'x'.repeat(17_000)}\r\n`)],
    [
      'half a body and then none',
      request('POST /data', `${HOST}Transfer-Encoding: chunked\r\n`, 'zz\r\n'),
    ],
  ] as const) {
    it(`takes no answer away: ${what}`, async () => {
      const received = await exchange(fe, store + request('GET /healthz') + rest);
      const [first, second, last, ...others] = statusesIn(received);
      assert.ok(first === 200 || first === 201, received);
      assert.deepEqual([second, others.length], [200, 0], received);
      assert.equal(last, what === 'a header too long' ? 431 : 400, received);
      assert.match(received, /"key":"[0-9a-f]{64}"/);
      assert.match(received, /Date: [^\r]+ GMT\r\n.*"code":"[A-Z_]+"/s);
    });
  }

  const later = (id: string, headers = '') =>
    request(`PUT /v1/records/${id}`, `${HOST}${headers}Content-Length: 2\r\n`, 'hi');
  const isThere = async (id: string) =>
    (await http(fe, 'HEAD', `/v1/records/${id}`)).status === 200;

  it('is answered in its turn where it is a CONNECT', async () => {
    const received = await exchange(fe, later('before') + request('CONNECT localhost:80'));
    assert.deepEqual(statusesIn(received), [201, 501]);
  });

  it('is not done behind the last answer', async () => {
    const expecting = later('expecting', 'Expect: x\r\n');
    const received = await exchange(fe, later('first-of-3') + expecting + later('third'));
    assert.deepEqual(statusesIn(received), [201, 417]);
    assert.ok(!(await isThere('third')));
    // Of a body that was refused, the rest is read; what follows it is not.
    const large = request(
      'PUT /v1/records/large',
      `${HOST}Connection: close\r\nContent-Length: 9000000\r\n`,
    );
    const raw = new RawHttp(fe);
    raw.write(large);
    await raw.saw(/^HTTP\/1\.1 413 /);
    raw.write(Buffer.alloc(9_000_000));
    raw.write(later('fourth'));
    await raw.closed;
    raw.destroy();
    assert.deepEqual(statusesIn(raw.received), [413]);
    assert.ok(!(await isThere('fourth')));
  });

  it('is not done where it comes too late', async () => {
    const quick = await startServers({ feServerConfigs: { receiveTimeoutMs: 300 } });
    const { port } = quick.fe;
    // While the answer before it is owed, its time runs out; then it comes.
    await quick.stopBe();
    const raw = new RawHttp(port);
    const late = later('late');
    raw.write(later('waits') + late.slice(0, -1));
    await raw.saw(/^HTTP\/1\.1 50\d .*HTTP\/1\.1 408 /s);
    raw.write(late.slice(-1));
    await raw.closed;
    raw.destroy();
    assert.equal(statusesIn(raw.received).length, 2);
    await quick.close();
  });

  it('takes none away at the back end either', async () => {
    const received = await exchange(servers.be.port, `${request('GET /healthz')}BAD\r\n\r\n`);
    assert.deepEqual(statusesIn(received), [200, 400]);
  });
});

describe('a head', () => {
  it('is looked at whole, however many lines it has', async () => {
    await put('many', {});
    const padding = 'a:b\r\n'.repeat(2_100);
    const headers = `${HOST}${padding}If-None-Match: *\r\nContent-Length: 1\r\nConnection: close\r\n`;
    const received = await exchange(fe, request('PUT /v1/records/many', headers, 'x'));
    assert.deepEqual(statusesIn(received), [412]);
  });

  for (const [what, headers] of [
    ['no Host', ''],
    ['two', `${HOST}${HOST}`],
    ['an empty one', 'Host: \r\n'],
    ['none that is one', 'Host: a b\r\n'],
  ] as const) {
    it(`names one host: ${what}`, async () => {
      for (const port of [fe, servers.be.port]) {
        const received = await exchange(
          port,
          request('GET /readyz', `${headers}Connection: close\r\n`),
        );
        assert.deepEqual(statusesIn(received), [400], received);
        assert.match(received, /"code":"INVALID_FIELD"/);
      }
    });
  }

  it('needs no Host in HTTP/1.0', async () => {
    for (const port of [fe, servers.be.port]) {
      const received = await exchange(port, 'GET /healthz HTTP/1.0\r\n\r\n');
      assert.deepEqual(statusesIn(received), [200]);
    }
  });

  it('may have the whole URL, whose host is the one that counts', async () => {
    const close = `${HOST}Connection: close\r\n`;
    for (const port of [fe, servers.be.port]) {
      const received = await exchange(port, request('GET http://localhost/healthz', close));
      assert.deepEqual(statusesIn(received), [200]);
    }
    const elsewhere = await exchange(fe, request('GET http://evil.example/data', close));
    assert.deepEqual(statusesIn(elsewhere), [403]);
    const items = await exchange(fe, request('GET http://localhost/data/abc', close));
    assert.match(items, /^HTTP\/1\.1 422 .*\{"detail":\[/s);
    const missing = await exchange(fe, request('PATCH http://localhost/data', close));
    assert.match(missing, /^HTTP\/1\.1 405 .*allow: GET, HEAD, POST/is);
  });

  it('is answered in the shape of its route, however its path is written', async () => {
    assert.ok(Array.isArray((await http(fe, 'GET', '/%64ata/abc')).json()['detail']));
    assert.equal(typeof (await http(fe, 'GET', '/%72ecords/zz')).json()['message'], 'string');
    assert.equal(typeof (await http(fe, 'GET', '/data/%ff')).json()['detail'], 'string');
  });

  it('may expect to go on, and nothing else', async () => {
    for (const port of [fe, servers.be.port]) {
      const received = await exchange(port, request('GET /healthz', `${HOST}Expect: foo\r\n`));
      assert.deepEqual(statusesIn(received), [417]);
      assert.match(received, /application\/problem\+json.*"code":"INVALID_FIELD"/s);
      assert.match(received, /\r\nContent-Length: \d+\r\n/);
    }
    // HTTP/1.0 knows no answer before the answer.
    const old =
      'PUT /v1/records/old HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi';
    assert.deepEqual(statusesIn(await exchange(fe, old)), [201]);
  });

  it('asks for no tunnel', async () => {
    const received = await exchange(fe, request('CONNECT localhost:80'));
    assert.deepEqual(statusesIn(received), [501]);
    assert.match(received, /"code":"UNKNOWN_VERB"/);
  });
});

describe('a body', () => {
  it('that is refused is read to its end where the connection closes, so that the answer arrives', async () => {
    const bytes = 12 * 1024 * 1024;
    const raw = new RawHttp(fe);
    // As many clients do it: all is sent before anything is read.
    raw.socket.pause();
    const headers = `${HOST}Connection: close\r\nContent-Length: ${bytes}\r\n`;
    raw.write(request('PUT /v1/records/large', headers));
    await new Promise<void>((resolve, reject) => {
      raw.socket.write(Buffer.alloc(bytes), (error) => (error ? reject(error) : resolve()));
    });
    raw.socket.resume();
    await raw.saw(/^HTTP\/1\.1 413 .*RECORD_TOO_LARGE/s);
    raw.destroy();
  });

  for (const [name, value] of [
    ['Content-Range', 'bytes 0-4/10'],
    ['Content-Encoding', 'gzip'],
    ['Transfer-Encoding', 'gzip, chunked'],
  ] as const) {
    it(`is a whole record as it is: ${name}`, async () => {
      const close = `${HOST}${name}: ${value}\r\nConnection: close\r\n`;
      const length = name === 'Transfer-Encoding' ? '' : 'Content-Length: 0\r\n';
      const body = length === '' ? '0\r\n\r\n' : '';
      const received = await exchange(fe, request('PUT /v1/records/part', close + length, body));
      assert.deepEqual(statusesIn(received), [400], received);
      assert.equal((await http(fe, 'HEAD', '/v1/records/part')).status, 404);
    });
  }
});

describe('conditions', () => {
  it('hold for a rekey', async () => {
    const [first, second, third] = [key(), key(), key()];
    const { revision } = (await put('rekeyed', { 'Enc-Record-Key': first })).json();
    const rekey = (from: string, to: string, headers: Readonly<Record<string, string>>) =>
      http(fe, 'POST', '/v1/records/rekeyed/rekey', {
        headers: { 'Enc-Old-Key': from, 'Enc-Record-Key': to, ...headers },
      });
    for (const headers of [
      { 'If-Match': '"0000000000000000"' },
      { 'If-None-Match': '*' },
      { 'If-None-Match': `"${revision}"` },
    ]) {
      assert.equal((await rekey(first, second, headers)).status, 412);
    }
    const done = await rekey(first, second, { 'If-Match': `"${revision}"` });
    assert.equal(done.status, 200);
    assert.equal((await rekey(second, third, { 'If-Match': `"${revision}"` })).status, 412);
    assert.equal((await rekey(second, third, { 'If-Match': '*' })).status, 200);
    const headers = { 'Enc-Record-Key': third };
    assert.equal((await http(fe, 'GET', '/v1/records/rekeyed', { headers })).status, 200);
  });

  it('are lists in which empty elements and any opaque bytes may stand', async () => {
    const { revision } = (await put('listed', {})).json();
    const head = async (list: string) =>
      (await http(fe, 'HEAD', '/v1/records/listed', { headers: { 'If-None-Match': list } })).status;
    for (const list of [
      `"x",,"${revision}"`,
      `,"${revision}"`,
      `"${revision}" , , `,
      `"\xe9", W/"${revision}"`,
    ]) {
      assert.equal(await head(list), 304, list);
    }
    for (const list of ['', ',', '"a" "b"', 'a', `"${', '.repeat(5_000)}`]) {
      assert.equal(await head(list), 400, list.slice(0, 20));
    }
  });

  it('are answered in a batch as they are alone', async () => {
    await put('batched', {});
    const items = [
      { op: 'store', id: 'batched', record: 'x', ifAbsent: true },
      { op: 'store', id: 'batched', record: 'x', ifRevision: '0'.repeat(16) },
    ];
    const answer = (await httpJson(fe, 'POST', '/v1/batch', { items })).json<{
      items: { status: number; code: string }[];
    }>();
    assert.deepEqual(
      answer.items.map(({ status, code }) => [status, code]),
      [
        [412, 'CONFLICT'],
        [412, 'CONFLICT'],
      ],
    );
  });
});

it('HEAD /records reads nothing for good', async () => {
  const hexKey = key();
  await put('once', { 'Enc-Record-Key': hexKey, 'Enc-Once': '1' });
  const path = `/records/${Buffer.from('once').toString('hex')}?key=${hexKey}`;
  assert.equal((await http(fe, 'HEAD', path)).status, 200);
  assert.equal((await http(fe, 'GET', path)).json()['data'], 'hello');
  assert.equal((await http(fe, 'GET', path)).status, 410);
});

it('nobody holds room for a body, and is told to say who asks', async () => {
  const folder = await temporaryFolder();
  const tokens = join(folder, 'tokens.json');
  const { token } = await makeToken(tokens, ['store']);
  const guarded = await startServers({ feServerConfigs: { auth: 'required', tokens } });
  const { port } = guarded.fe;
  try {
    const open = `${HOST}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n`;
    for (const line of ['POST /v1/batch', 'POST /data', 'POST /records', 'PUT /v1/records/a']) {
      const expecting = `${open}Expect: 100-continue\r\n`;
      assert.deepEqual(statusesIn(await exchange(port, request(line, expecting))), [401], line);
      const raw = new RawHttp(port);
      // None of it has come when it is refused.
      raw.write(request(line, open));
      await raw.saw(/^HTTP\/1\.1 401 /);
      raw.destroy();
    }
    const headers = { Authorization: `Bearer ${token}` };
    const stored = await http(port, 'PUT', '/v1/records/a', { headers, body: 'hello' });
    assert.equal(stored.status, 201);
  } finally {
    await guarded.close();
  }
});
