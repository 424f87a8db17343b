/** Whatever the front end answers, `/openapi.json` says; the failures that any request can meet. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { PartialConfig } from '../../lib/config/load.ts';
import { makeToken } from '../helpers/access.ts';
import { http, httpJson } from '../helpers/http.ts';
import {
  assertDescribed,
  assertOf,
  exampleOf,
  type NamedOperation,
  type OpenApi,
  operationsOf,
  responseOf,
  type Schema,
} from '../helpers/openapi.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const PROBES = ['/healthz', '/readyz'];
const isProbe = ({ path }: NamedOperation) => PROBES.includes(path);

let servers: TestServers;
let document: OpenApi;
let operations: NamedOperation[];
before(async () => {
  servers = await startServers();
  document = (await http(servers.fe.port, 'GET', '/openapi.json')).json<OpenApi>();
  operations = operationsOf(document);
});
after(() => servers.close());

/** Sends the example of an operation with something else about it; gives the status. */
async function provoke(
  port: number,
  named: NamedOperation,
  { headers = {}, query }: { headers?: OutgoingHttpHeaders; query?: string } = {},
): Promise<number> {
  const { url, headers: own, body } = exampleOf(named);
  const separator = url.includes('?') ? '&' : '?';
  const target = query === undefined ? url : `${url}${separator}${query}`;
  const call = { headers: { ...own, ...headers }, ...(body !== undefined && { body }) };
  const answer = await http(port, named.method.toUpperCase(), target, call);
  assertDescribed(document, named, answer);
  return answer.status;
}

async function withServers(
  flags: PartialConfig,
  run: (servers: TestServers) => Promise<void>,
): Promise<void> {
  const others = await startServers(flags);
  try {
    await run(others);
  } finally {
    await others.close();
  }
}

describe('the document has what every route can answer', () => {
  it('to a token in the URL: 403, but of probes', async () => {
    for (const named of operations) {
      const status = await provoke(servers.fe.port, named, { query: 'api_key=x' });
      assert.equal(status === 403, !isProbe(named), `${named.method} ${named.path}: ${status}`);
    }
  });

  it('to a Content-Type of no form: 415 where a record of any type is taken', async () => {
    const wrong: Record<string, number> = {
      'post /data': 422,
      'post /records': 400,
      'post /v1/batch': 400,
      'put /v1/record': 415,
      'put /v1/records/{id}': 415,
    };
    for (const named of operations) {
      const status = await provoke(servers.fe.port, named, { headers: { 'content-type': 'json' } });
      const which = `${named.method} ${named.path}`;
      const expected = wrong[which];
      assert.ok(expected === undefined ? status < 405 : status === expected, `${which}: ${status}`);
    }
  });

  it('to headers that are too long, and to what is expected of it: 431, 417', async () => {
    for (const named of operations) {
      const { port } = servers.fe;
      assert.equal(await provoke(port, named, { headers: { expect: 'a miracle' } }), 417);
      // Headers are refused before their method is known: the answer has a body to HEAD, too.
      if (named.method === 'head') continue;
      const long = { 'x-long': 'x'.repeat(20_000) };
      assert.equal(await provoke(port, named, { headers: long }), 431);
    }
  });

  it('to what comes too late, or is no HTTP: 408, 400', () => {
    for (const named of operations) {
      const late = responseOf(document, named, 408);
      assert.deepEqual(Object.keys(late?.content ?? {}), ['application/problem+json']);
      assert.ok(responseOf(document, named, 400), named.path);
    }
  });

  it('to a Host that is none: 400', async () => {
    for (const named of operations) {
      const status = await provoke(servers.fe.port, named, { headers: { host: 'a b' } });
      assert.equal(status, 400, `${named.method} ${named.path}`);
    }
  });

  it('to callers who are not known, or are wrong too often: 401, 429', async () => {
    const tokens = join(servers.folder, 'tokens.json');
    await makeToken(tokens, ['admin']);
    const auth = { auth: 'required', tokens, wrongTokensPerMinuteMax: 1 };
    await withServers({ feServerConfigs: auth }, async ({ fe }) => {
      const headers = { authorization: `Bearer ${'x'.repeat(40)}` };
      const statuses: number[] = [];
      for (const named of operations.filter((one) => !isProbe(one))) {
        statuses.push(await provoke(fe.port, named, { headers }));
      }
      assert.deepEqual([...new Set(statuses)], [401, 429]);
    });
  });

  it('while the back end is away', async () => {
    await withServers({}, async ({ fe, stopBe }) => {
      await stopBe();
      for (const named of operations) await provoke(fe.port, named);
    });
  });

  it('to a condition that does not hold: 412', async () => {
    const { port } = servers.fe;
    for (const named of operations.filter(({ path }) => path.startsWith('/v1/record'))) {
      if (named.path === '/v1/records') continue;
      const path = named.path.replace('/rekey', '');
      const writing = operations.find((one) => one.path === path && one.method === 'put');
      const { url, headers } = exampleOf(writing as NamedOperation);
      await http(port, 'PUT', url, { headers, body: 'x' });
      const status = await provoke(port, named, { headers: { 'if-match': '"another"' } });
      assert.equal(status, 412, `${named.method} ${named.path}`);
      assert.equal((await http(port, 'DELETE', url, { headers })).status, 204);
    }
  });

  it('to conditions on a record that was read once: 410', async () => {
    const { port } = servers.fe;
    const paths = ['/v1/record', '/v1/records/{id}'];
    for (const named of operations.filter(({ path }) => paths.includes(path))) {
      const { url, headers } = exampleOf(named);
      const once = { ...headers, 'enc-once': '1' };
      assert.equal((await http(port, 'PUT', url, { headers: once, body: 'x' })).status, 201);
      assert.equal((await http(port, 'GET', url, { headers })).status, 200);
      const condition = { 'if-none-match': '"another"' };
      const status = await provoke(port, named, { headers: condition });
      assert.equal(status, 410, `${named.method} ${named.path}`);
      assert.equal((await http(port, 'DELETE', url, { headers })).status, 204);
    }
  });

  it('with the headers of what is there', async () => {
    const { port } = servers.fe;
    const paths = ['/v1/record', '/v1/records/{id}'];
    for (const named of operations.filter(({ path }) => paths.includes(path))) {
      if (named.method === 'delete') continue;
      const { url, headers } = exampleOf(named);
      const ends = { ...headers, 'enc-ttl': '60' };
      assert.ok((await http(port, 'PUT', url, { headers: ends, body: 'x' })).headers['etag']);
      assert.equal(await provoke(port, named), 200, `${named.method} ${named.path}`);
      const told = (status: number) =>
        Object.keys(responseOf(document, named, status)?.headers ?? {});
      assert.deepEqual(told(200), named.method === 'put' ? ['ETag'] : ['ETag', 'Enc-Expires']);
      assert.deepEqual(told(503), ['Retry-After']);
    }
  });

  it('to paths that are no UTF-8: 400', async () => {
    for (const named of operations.filter(({ path }) => path.includes('{'))) {
      const { url, headers } = exampleOf(named);
      const path = named.path.replace(/\{\w+\}/, '%ff');
      const target = url.includes('?') ? `${path}?${url.split('?')[1]}` : path;
      const answer = await http(servers.fe.port, named.method.toUpperCase(), target, { headers });
      assert.equal(answer.status, 400, `${named.method} ${path}`);
      assertDescribed(document, named, answer);
    }
  });
});

describe('the document has what a batch takes and gives', () => {
  const batch = () => operations.find(({ path }) => path === '/v1/batch') as NamedOperation;
  const itemSchema = (): Schema => {
    const content = batch().operation.requestBody?.content['application/json'];
    return content?.schema.properties?.['items']?.items ?? {};
  };
  const key = randomBytes(32).toString('hex');
  const items = [
    { op: 'store', id: 'b', record: 'x', key, contentType: 'text/plain' },
    { op: 'store', id64: '/w==', record64: 'AAE=', expires: '2999-01-01T00:00:00Z' },
    { op: 'retrieve', id: 'b', key },
    { op: 'delete', id: 'nobody' },
  ];
  const malformed = [
    { op: 'fly' },
    'no item',
    { op: 'retrieve', id: 'b' },
    { op: 'delete', id: 1 },
  ];
  const misspelt = [
    { op: 'store', id: 'b', record: 'y', key, ifabsent: true },
    { op: 'store', id: 'b', record: 'y', key, ttl: 60 },
    { op: 'retrieve', id: 'b', key, reader: '00' },
    { op: 'delete', id: 'b', ifRevision: '0'.repeat(16) },
  ];

  it('items by what is done, of which malformed ones are none', () => {
    const ops = itemSchema().oneOf?.map(({ properties }) => properties?.['op']?.enum);
    assert.deepEqual(ops, [['store'], ['retrieve'], ['delete']]);
    for (const item of items) assertOf(itemSchema(), item, item.op);
    for (const item of [...malformed, ...misspelt])
      assert.throws(() => assertOf(itemSchema(), item, 'wrong'));
  });

  it('answers with all that they have, to malformed items, too', async () => {
    const seen = new Set<string>();
    for (const some of [items.slice(0, 2), [...items.slice(2), ...malformed]]) {
      const answer = await httpJson(servers.fe.port, 'POST', '/v1/batch', { items: some });
      assert.equal(answer.status, 200);
      assertDescribed(document, batch(), answer);
      for (const one of answer.json<{ items: object[] }>().items) {
        for (const name of Object.keys(one)) seen.add(name);
      }
    }
    const content = batch().operation.responses['200']?.content?.['application/json'];
    const described = content?.schema.properties?.['items']?.items?.properties;
    // One with an end is stored, but not read here.
    assert.deepEqual([...seen, 'expires'].sort(), Object.keys(described ?? {}).sort());
  });

  it('no field beyond those: a condition that is misspelt is not passed over', async () => {
    const post = (body: object) => httpJson(servers.fe.port, 'POST', '/v1/batch', body);
    type Answer = { items: { revision?: string; code?: string }[] };
    const [stored] = (await post({ items: items.slice(0, 1) })).json<Answer>().items;
    const refused = (await post({ items: misspelt })).json<Answer>().items;
    assert.deepEqual(
      refused.map(({ code }) => code),
      misspelt.map(() => 'UNKNOWN_FIELD'),
    );
    const [found] = (await post({ items: items.slice(2, 3) })).json<Answer>().items;
    assert.ok(found?.revision !== undefined && found.revision === stored?.revision);
    assert.equal((await post({ items: [], atomic: true })).status, 400);
  });

  it('more than that on /data and /records, whose clients may send it', async () => {
    const { port } = servers.fe;
    const item = { id: 77, data: 'x', more: 1 };
    assert.equal((await httpJson(port, 'POST', '/data', item)).status, 200);
    const record = { id: '77', data: '00', more: 1 };
    assert.equal((await httpJson(port, 'POST', '/records', record)).status, 201);
  });
});
