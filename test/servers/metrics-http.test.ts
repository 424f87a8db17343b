/** The page at /metrics: it is well formed, counts exactly, and tells of nobody. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, it, test } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { ERRORS } from '../../lib/errors.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { OPERATIONS } from '../../lib/net/traffic.ts';
import { DEFAULT_LIMITS } from '../../lib/protocol/limits.ts';
import { checkHistogram, type Metric, parsePage } from '../helpers/exposition.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { Wire } from '../helpers/wire.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index + 1));
const LOCAL = { 'content-type': 'text/plain' };

async function scrape(port: number): Promise<Map<string, Metric>> {
  const { status, body, headers } = await http(port, 'GET', '/metrics');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  return parsePage(body.toString());
}

/** `dialect operation outcome` to how many. */
function requestsOf(page: Map<string, Metric>): Record<string, number> {
  const samples = page.get('enc_server_requests_total')?.samples ?? [];
  return Object.fromEntries(
    samples.map(({ labels, value }) => [[...labels.values()].join(' '), value]),
  );
}

function sampleOf(page: Map<string, Metric>, name: string): number {
  const [sample, ...others] = page.get(`enc_server_${name}`)?.samples ?? [];
  assert.ok(sample && others.length === 0, name);
  return sample.value;
}

test('nothing of prom-client is loaded before somebody looks', async () => {
  const { cache } = createRequire(import.meta.url);
  const isLoaded = () => Object.keys(cache).some((path) => /[/\\]prom-client[/\\]/.test(path));
  const servers = await startServers();
  const client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
  try {
    await client.store('alice', Buffer.from('hi'), { key: KEY });
    for (const { port } of [servers.fe, servers.be]) {
      assert.equal((await http(port, 'GET', '/readyz')).status, 200);
    }
    assert.ok(!isLoaded());
    // What was counted by then is on the page.
    assert.equal(requestsOf(await scrape(servers.fe.port))['frames store ok'], 1);
    assert.ok(isLoaded());
  } finally {
    client.close();
    await servers.close();
  }
});

describe('the page', () => {
  const secrets = ['Mallory-Id', 'Team-Space', 'The-Record', KEY.toString('hex'), 'Opaque-Token'];
  let servers: TestServers;
  before(async () => {
    servers = await startServers();
  });
  after(() => servers.close());

  it('counts exactly what a front end was asked, by dialect, operation and outcome', async () => {
    const { port } = servers.fe;
    const namespace = 'Team-Space';
    const client = new FeClient({ address: { host: '127.0.0.1', port }, attemptsMax: 1 });
    await client.store('Mallory-Id', Buffer.from('The-Record'), { key: KEY, namespace });
    await client.retrieve('Mallory-Id', KEY, { namespace });
    const wrong = Buffer.from(KEY).reverse();
    await assert.rejects(client.retrieve('Mallory-Id', wrong, { namespace }));
    await assert.rejects(client.retrieve('Mallory-Id 2', KEY));
    await client.info();
    client.close();

    const wire = await Wire.open(port);
    const lines = [
      'HELP',
      'PING',
      'STORE Mallory-Id The-Record',
      'RETRIEVE Mallory-Id nonsense',
      `RETRIEVE Mallory-Id ${KEY.toString('hex')}`,
      'RETRIEVE',
      'DELETE Mallory-Id',
      'MALLORY-ID The-Record',
      'constructor x',
    ];
    for (const line of lines) {
      wire.send(`${line}\n`);
      await wire.line();
    }
    wire.close();

    const headers = { 'enc-record-key': KEY.toString('hex'), 'enc-namespace': namespace };
    const record = '/v1/records/Mallory-Id';
    await http(port, 'PUT', record, { headers: { ...headers, ...LOCAL }, body: 'The-Record' });
    await http(port, 'GET', record, { headers });
    await http(port, 'HEAD', record, { headers });
    await http(port, 'GET', record, { headers: { 'enc-record-key': 'x' } });
    await http(port, 'GET', '/data/9');
    await http(port, 'GET', '/data/Mallory-Id');
    await http(port, 'GET', '/data');
    await http(port, 'GET', '/Mallory-Id?x=The-Record');
    await http(port, 'POST', '/metrics');
    await http(port, 'GET', '/%zz');
    await http(port, 'GET', '/healthz');

    const page = await scrape(port);
    assert.deepEqual(requestsOf(page), {
      'frames hello ok': 1,
      'frames store ok': 1,
      'frames retrieve ok': 1,
      'frames retrieve WRONG_KEY': 1,
      'frames retrieve NOT_FOUND': 1,
      'frames info ok': 1,
      'text help ok': 1,
      'text ping ok': 1,
      'text store ok': 1,
      'text retrieve INVALID_KEY': 1,
      'text retrieve WRONG_KEY': 1,
      'text retrieve MISSING_FIELD': 1,
      'text delete ok': 1,
      'text other UNKNOWN_VERB': 2,
      'http store ok': 1,
      'http retrieve ok': 1,
      'http peek ok': 1,
      'http retrieve INVALID_KEY': 1,
      'http retrieve NOT_FOUND': 1,
      'http retrieve INVALID_FIELD': 1,
      'http list ok': 1,
      'http other NOT_FOUND': 1,
      'http other UNKNOWN_VERB': 1,
      'http other INVALID_FIELD': 1,
      'http other ok': 1,
    });
    assert.equal(sampleOf(page, 'keyring_epoch'), 1);
    assert.equal(sampleOf(page, 'requests_under_way'), 1);
    assert.ok(sampleOf(page, 'connections') >= 1);
    assert.equal(sampleOf(page, 'in_flight_bytes_max'), DEFAULT_LIMITS.bytesInFlightMax);
    assert.ok(sampleOf(page, 'in_flight_bytes') <= sampleOf(page, 'in_flight_bytes_max'));
  });

  it('counts each documented operation on records and items by its name', async () => {
    const { port } = servers.fe;
    const { paths } = (await http(port, 'GET', '/openapi.json')).json() as {
      paths: Record<string, Record<string, object>>;
    };
    const earlier = requestsOf(await scrape(port));
    const asked: string[] = [];
    for (const [path, methods] of Object.entries(paths)) {
      if (['/healthz', '/readyz', '/metrics', '/v1/status'].includes(path)) continue;
      for (const method of [...Object.keys(methods), ...(methods['get'] ? ['head'] : [])]) {
        await http(port, method.toUpperCase(), path.replace(/{\w+}/, '1'));
        asked.push(`${method} ${path}`);
      }
    }
    assert.ok(asked.includes('post /v1/record/rekey') && asked.includes('head /v1/records'));
    const grown = Object.entries(requestsOf(await scrape(port))).filter(
      ([name, value]) => name.startsWith('http other') && value !== (earlier[name] ?? 0),
    );
    // The scrape before.
    assert.deepEqual(grown, [['http other ok', (earlier['http other ok'] ?? 0) + 1]]);
  });

  it('counts exactly what a back end was asked', async () => {
    const { port } = servers.be;
    const earlier = requestsOf(await scrape(port));
    const client = new BeClient({ address: { host: '127.0.0.1', port } });
    await client.store('Opaque-Token', Buffer.from('The-Record'));
    await client.retrieve('Opaque-Token');
    await assert.rejects(client.retrieve('Opaque-Token 2'));
    await client.delete('Opaque-Token');
    client.close();
    const wire = await Wire.open(port);
    for (const line of ['STORE Opaque-Token x', 'RETRIEVE Mallory-Id', 'DELETE', 'PEEK x']) {
      wire.send(`${line}\n`);
      await wire.line();
    }
    wire.close();
    await http(port, 'GET', '/Mallory-Id');
    await http(port, 'PUT', '/metrics');
    const now = requestsOf(await scrape(port));
    const grown = Object.entries(now).map(([name, value]) => [name, value - (earlier[name] ?? 0)]);
    assert.deepEqual(Object.fromEntries(grown.filter(([, by]) => by !== 0)), {
      'frames put ok': 1,
      'frames get ok': 1,
      'frames get NOT_FOUND': 1,
      'frames remove ok': 1,
      'text store ok': 1,
      'text retrieve NOT_FOUND': 1,
      'text delete MISSING_FIELD': 1,
      'text peek UNKNOWN_VERB': 1,
      'http other NOT_FOUND': 1,
      'http other UNKNOWN_VERB': 1,
      // The scrape before.
      'http other ok': 1,
    });
  });

  it('is well formed, its names and units are as Prometheus has them, its labels closed', async () => {
    const outcomes = new Set(['ok', ...Object.keys(ERRORS)]);
    const closed: Record<string, ReadonlySet<string>> = {
      dialect: new Set(['frames', 'text', 'http', 'grpc']),
      operation: new Set(OPERATIONS),
      outcome: outcomes,
    };
    for (const { port } of [servers.fe, servers.be]) {
      const page = await scrape(port);
      for (const [name, { type, help, samples }] of page) {
        assert.match(name, /^enc_server_/);
        assert.notEqual(help, '');
        // What prom-client says of the process has names of its own.
        if (/^enc_server_(?:nodejs|process)_/.test(name)) continue;
        assert.equal(name.endsWith('_total'), type === 'counter', name);
        assert.doesNotMatch(
          name,
          /_(?:count|sum|bucket|ms|millis\w*|kib|mib|gauge|counter)(?:_|$)/,
        );
        for (const { labels } of samples) {
          for (const [label, value] of labels) {
            if (label === 'le') continue;
            assert.ok(closed[label]?.has(value), `${label}="${value}"`);
          }
        }
        if (type === 'histogram') checkHistogram(name, samples);
      }
    }
  });

  it('tells nothing of who asked, and for what', async () => {
    for (const { port } of [servers.fe, servers.be]) {
      const text = (await http(port, 'GET', '/metrics')).body.toString().toLowerCase();
      for (const secret of secrets) {
        assert.ok(!text.includes(secret.toLowerCase()), secret);
        assert.ok(!text.includes(Buffer.from(secret).toString('hex')), secret);
      }
      assert.doesNotMatch(text, /127\.0\.0\.1|{[^}]*[0-9a-f]{16}/);
    }
  });

  it('tells what the process has used since it began, not since the first look', async () => {
    const { user, system } = process.cpuUsage();
    const page = await scrape(servers.fe.port);
    const after = process.cpuUsage();
    const spent = sampleOf(page, 'process_cpu_seconds_total');
    // A little falls between the two readings of the clock when the page is made first.
    assert.ok(spent > ((user + system) / 1e6) * 0.9, `${spent} of ${(user + system) / 1e6}`);
    assert.ok(spent <= (after.user + after.system) / 1e6 + 0.05);
    assert.ok(page.has('enc_server_nodejs_eventloop_lag_p99_seconds'));
  });

  it('is whole for everyone when many look at once', async () => {
    const pages = await Promise.all(Array.from({ length: 20 }, () => scrape(servers.be.port)));
    const names = pages.map((page) => [...page.keys()].sort().join());
    assert.equal(new Set(names).size, 1);
  });

  it('counts a server that is not ready as unavailable', async () => {
    const alone = await startServers();
    try {
      await alone.stopBe();
      assert.equal((await http(alone.fe.port, 'GET', '/readyz')).status, 503);
      const requests = requestsOf(await scrape(alone.fe.port));
      assert.deepEqual(requests, { 'http other UNAVAILABLE': 1 });
    } finally {
      await alone.close();
    }
  });
});
