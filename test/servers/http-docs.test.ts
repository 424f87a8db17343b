import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { http, httpJson } from '../helpers/http.ts';
import {
  assertDescribed,
  exampleOf,
  type NamedOperation,
  type OpenApi,
  operationsOf,
  type Schema,
} from '../helpers/openapi.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

describe('the documentation', () => {
  let servers: TestServers;
  let port: number;
  let document: OpenApi;
  before(async () => {
    servers = await startServers();
    port = servers.fe.port;
    document = (await http(port, 'GET', '/openapi.json')).json<OpenApi>();
  });
  after(() => servers.close());

  it('is OpenAPI 3.1 of every route', () => {
    assert.match(document.openapi, /^3\.1\./);
    const operations = operationsOf(document).map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(operations.sort(), [
      'delete /records/{id}',
      'delete /v1/record',
      'delete /v1/records/{id}',
      'get /data',
      'get /data/{item_id}',
      'get /healthz',
      'get /metrics',
      'get /readyz',
      'get /records/{id}',
      'get /v1/record',
      'get /v1/records',
      'get /v1/records/{id}',
      'get /v1/status',
      'head /v1/record',
      'head /v1/records/{id}',
      'post /data',
      'post /records',
      'post /v1/batch',
      'post /v1/record/rekey',
      'post /v1/records/{id}/rekey',
      'put /v1/record',
      'put /v1/records/{id}',
    ]);
  });

  it('names each operation for generators of clients, and nothing that they trip over', () => {
    const operations = operationsOf(document);
    const ids = operations.map(({ operation }) => String(operation.operationId));
    for (const id of ids) assert.match(id, /^[a-z][A-Za-z]+$/);
    assert.equal(new Set(ids).size, operations.length);
    const schemas: Schema[] = [];
    JSON.stringify(document, (_name, part) => {
      if (typeof part?.type === 'string') schemas.push(part);
      return part;
    });
    for (const { type, format } of schemas) {
      if (type === 'integer') assert.equal(format, 'int64');
    }
    for (const { operation, path } of operations) {
      for (const { in: place, schema } of operation.parameters ?? []) {
        if (place === 'header') assert.equal(schema.format, undefined, path);
      }
      for (const { content = {} } of Object.values(operation.responses)) {
        for (const { schema } of Object.values(content)) assert.notEqual(schema.type, 'null', path);
      }
    }
    const store = document.paths['/records']?.['post']?.requestBody?.content['application/json'];
    assert.equal(store?.schema.properties?.['key']?.anyOf, undefined);
  });

  it('has examples that succeed when they are sent in the order of the page', async () => {
    const all = operationsOf(document);
    const order = document.tags.map(({ name }) => name);
    const placeOf = ({ operation }: NamedOperation) => order.indexOf(operation.tags[0] ?? '');
    all.sort((a, b) => placeOf(a) - placeOf(b));
    for (const named of all) {
      const { method } = named;
      const { url, headers, body } = exampleOf(named);
      const call = body === undefined ? { headers } : { headers, body };
      const answer = await http(port, method.toUpperCase(), url, call);
      assert.ok(answer.status < 300, `${method} ${url}: ${answer.status} ${answer.body}`);
      assertDescribed(document, named, answer);
    }
  });

  it('has an example of a batch whose items succeed, in any order and on an empty store', async () => {
    const batch = operationsOf(document).find(({ path }) => path === '/v1/batch') as NamedOperation;
    const { items } = JSON.parse(exampleOf(batch).body ?? '{}') as { items: { id: string }[] };
    assert.equal(new Set(items.map(({ id }) => id)).size, items.length);
    const empty = await startServers();
    try {
      const { items: answers } = (
        await httpJson(empty.fe.port, 'POST', '/v1/batch', { items })
      ).json<{ items: { status: number }[] }>();
      assert.equal(answers.length, items.length);
      for (const { status } of answers) assert.ok(status < 300);
    } finally {
      await empty.close();
    }
  });

  it('draws its example key anew, so that no shipped file has one', () => {
    const key = document.paths['/v1/records/{id}']?.['get']?.parameters?.find(
      ({ name }) => name === 'enc-record-key',
    )?.schema.example;
    assert.match(String(key), /^[0-9a-f]{64}$/);
  });

  it('is shown by a page that loads from here alone, under a strict policy', async () => {
    const page = await http(port, 'GET', '/docs');
    assert.equal(page.status, 200);
    const policy = String(page.headers['content-security-policy']);
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    const html = page.body.toString();
    assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|\bon\w+=|style=|https?:\/\//);
    const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((found) => String(found[1]));
    assert.ok(assets.length >= 5);
    for (const asset of assets) {
      const { pathname } = new URL(asset, 'http://localhost/docs');
      assert.equal((await http(port, 'GET', pathname)).status, 200, pathname);
    }
  });

  it('answers what it does not serve of that page in the words of the server', async () => {
    const style = '/docs/static/swagger-ui.css';
    assert.equal((await http(port, 'GET', style)).status, 200);
    for (const [path, headers, status, code] of [
      ['/docs/static/nope', {}, 404, 'NOT_FOUND'],
      ['/docs/static', {}, 404, 'NOT_FOUND'],
      ['/docs/static/.hidden', {}, 404, 'NOT_FOUND'],
      ['/docs/static/%2e%2e/package.json', {}, 403, 'NOT_ALLOWED'],
      [style, { 'If-Match': '"another"' }, 412, 'CONFLICT'],
      [style, { Range: 'bytes=999999999-' }, 416, 'INVALID_FIELD'],
    ] as const) {
      const answer = await http(port, 'GET', path, { headers });
      assert.equal(answer.status, status, `${path}: ${answer.body}`);
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      const { code: told, status: repeated } = answer.json();
      assert.deepEqual([told, repeated], [code, status], path);
      assert.doesNotMatch(answer.body.toString(), /nope|hidden|package|swagger/);
    }
  });

  it('is found from /', async () => {
    const browser = await http(port, 'GET', '/', { headers: { Accept: 'text/html,*/*' } });
    assert.equal(browser.status, 200);
    assert.match(String(browser.headers['content-type']), /^text\/html/);
    assert.equal((await http(port, 'GET', '/')).json()['documentation'], '/docs');
  });
});
