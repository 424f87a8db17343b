/** What servers count: exactly what was asked, and nothing of who asked or for what. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { Histogram } from '../../lib/metrics.ts';
import { operationOf, Traffic } from '../../lib/net/traffic.ts';
import { makeToken } from '../helpers/access.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';
import { Wire } from '../helpers/wire.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
const SECRETS = ['mallory-id', 'team-namespace', KEY.toString('hex'), 'the-record'];

let servers: TestServers;
before(async () => {
  servers = await startServers();
});
after(() => servers.close());

interface Page {
  readonly text: string;
  /** By name and labels as they stand on the page. */
  readonly values: ReadonlyMap<string, number>;
}

/** Reads a page strictly: every line is a comment of a known form or a sample. */
async function scrape(port: number): Promise<Page> {
  const { status, headers, body } = await http(port, 'GET', '/metrics');
  assert.equal(status, 200);
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
  const values = new Map<string, number>();
  const typed = new Set<string>();
  for (const line of body.toString().split('\n')) {
    if (line === '') continue;
    const type = /^# TYPE ([a-z0-9_]+) (counter|gauge|histogram|summary)$/.exec(line);
    if (type) {
      assert.ok(!typed.has(type[1] ?? ''), `${type[1]} twice`);
      typed.add(type[1] ?? '');
      continue;
    }
    if (/^# HELP [a-z0-9_]+ .+$/.test(line)) continue;
    const sample =
      /^([a-z0-9_]+)(\{(?:[a-z_]+="[^"]*",?)+\})? (-?[0-9.e+-]+|[Nn]a[Nn]|[+-]Inf)$/.exec(line);
    assert.ok(sample, line);
    const [, name = '', labels = '', value] = sample;
    assert.ok(typed.has(name) || typed.has(name.replace(/_(?:bucket|sum|count)$/, '')), name);
    values.set(`${name}${labels}`, Number(value));
  }
  return { text: body.toString(), values };
}

function total(page: Page, dialect: string, operation: string, outcome: string): number {
  const labels = `{dialect="${dialect}",operation="${operation}",outcome="${outcome}"}`;
  return page.values.get(`enc_server_requests_total${labels}`) ?? 0;
}

test('requests are counted by dialect, operation and outcome, and nothing else is told', async () => {
  const { port } = servers.fe;
  const client = new FeClient({ address: { host: '127.0.0.1', port }, attemptsMax: 1 });
  const namespace = 'team-namespace';
  for (let count = 0; count < 5; count++) {
    await client.store('mallory-id', Buffer.from('the-record'), { key: KEY, namespace });
  }
  await client.retrieve('mallory-id', KEY, { namespace });
  await assert.rejects(client.retrieve('mallory-id', Buffer.from(KEY).reverse(), { namespace }));
  await assert.rejects(client.retrieve('nobody', KEY));
  client.close();
  const wire = await Wire.open(port);
  wire.send('PING\nSTORE64 mallory-id aGk=\nNONSENSE\n');
  for (let lines = 0; lines < 3; lines++) await wire.line();
  wire.close();
  const headers = { 'enc-record-key': KEY.toString('hex') };
  await http(port, 'PUT', '/v1/records/mallory-id', { headers, body: 'the-record' });
  await http(port, 'GET', '/v1/records/mallory-id', { headers });
  await http(port, 'GET', '/data/77');
  await http(port, 'GET', `/records/6d?key=${KEY.toString('hex')}`);
  await http(port, 'GET', '/no/such/mallory-id');

  const page = await scrape(port);
  assert.equal(total(page, 'frames', 'store', 'ok'), 5);
  assert.equal(total(page, 'frames', 'retrieve', 'ok'), 1);
  assert.equal(total(page, 'frames', 'retrieve', 'WRONG_KEY'), 1);
  assert.equal(total(page, 'frames', 'retrieve', 'NOT_FOUND'), 1);
  assert.equal(total(page, 'text', 'ping', 'ok'), 1);
  assert.equal(total(page, 'text', 'store', 'ok'), 1);
  assert.equal(total(page, 'text', 'other', 'UNKNOWN_VERB'), 1);
  assert.equal(total(page, 'http', 'store', 'ok'), 1);
  assert.equal(total(page, 'http', 'retrieve', 'ok'), 1);
  assert.equal(total(page, 'http', 'retrieve', 'NOT_FOUND'), 2);
  const seconds = 'enc_server_request_seconds_count{dialect="frames",operation="store"}';
  assert.equal(page.values.get(seconds), 5);
  const all = 'enc_server_request_seconds_bucket{dialect="frames",operation="store",le="+Inf"}';
  assert.equal(page.values.get(all), 5);
  assert.equal(page.values.get('enc_server_keyring_epoch'), 1);
  // The one that asks.
  assert.equal(page.values.get('enc_server_requests_under_way'), 1);
  assert.ok([...page.values.keys()].some((name) => name.startsWith('enc_server_nodejs_eventloop')));
  for (const secret of SECRETS) assert.ok(!page.text.includes(secret), secret);
});

test('the back end counts its groups and its store', async () => {
  const before = (await scrape(servers.be.port)).values;
  const client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
  await Promise.all(
    Array.from({ length: 40 }, (_none, id) => client.store(`id ${id}`, KEY, { key: KEY })),
  );
  client.close();
  const { values } = await scrape(servers.be.port);
  const grown = (name: string) => (values.get(name) ?? 0) - (before.get(name) ?? 0);
  assert.equal(grown('enc_server_store_group_writes_sum'), 40);
  assert.ok(grown('enc_server_store_group_writes_count') <= 40);
  assert.equal(
    grown('enc_server_store_group_seconds_count'),
    grown('enc_server_store_group_writes_count'),
  );
  assert.equal(
    grown('enc_server_requests_total{dialect="frames",operation="put",outcome="ok"}'),
    40,
  );
});

test('who asks from elsewhere is no reader of metrics', async () => {
  const tokens = join(await temporaryFolder(), 'tokens.json');
  const { token } = await makeToken(tokens, ['frontend']);
  const { fe, be, close } = await startServers({
    feServerConfigs: { auth: 'required', trustedProxies: '127.0.0.1' },
    beServerConfigs: { auth: 'required', trustedProxies: '127.0.0.1', tokens },
    beClientConfigs: { token },
  });
  for (const { port } of [fe, be]) {
    assert.equal((await http(port, 'GET', '/metrics')).status, 200);
    const headers = { 'X-Forwarded-For': '192.0.2.1' };
    assert.equal((await http(port, 'GET', '/metrics', { headers })).status, 401);
    assert.equal((await http(port, 'POST', '/metrics')).status, 405);
    assert.equal((await http(port, 'GET', '/metrics?token=x')).status, 403);
  }
  await close();
});

test('a histogram puts each value into the first bucket that holds it', () => {
  const histogram = new Histogram([1, 2, 4]);
  for (const value of [0, 1, 1.5, 2, 3, 4, 5, 1_000]) histogram.observe(value);
  assert.deepEqual([...histogram.counts], [2, 2, 2, 2]);
  assert.equal(histogram.sum, 1_016.5);
  assert.equal(histogram.count, 8);
});

test('operations are a closed list', () => {
  assert.equal(operationOf('STORE64'), 'store');
  assert.equal(operationOf('PEEK'), 'peek');
  for (const name of ['', 'constructor', 'est_abc', undefined]) {
    assert.equal(operationOf(name), 'other');
  }
});

test('requests above the maximum are refused, and counted as such', () => {
  const traffic = new Traffic(2);
  traffic.begin();
  traffic.begin();
  assert.throws(() => traffic.begin(), { code: 'OVERLOADED' });
  traffic.end();
  traffic.begin();
  assert.equal(traffic.underWay, 2);
});
