/** What bounds and counts the requests of a server, whatever their dialect. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it, test } from 'node:test';
import { OPEN_GATE } from '../../lib/access.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { silentLog } from '../../lib/log.ts';
import type { Family } from '../../lib/metrics.ts';
import { Budget } from '../../lib/net/budget.ts';
import { FrameConnection } from '../../lib/net/frame-connection.ts';
import { OPERATIONS, operationOf, Traffic } from '../../lib/net/traffic.ts';
import { DEFAULT_LIMITS } from '../../lib/protocol/limits.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { http, RawHttp } from '../helpers/http.ts';
import { startServers } from '../helpers/servers.ts';
import { statusOf, Wire } from '../helpers/wire.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));

function familyOf(traffic: Traffic, name: string): Family {
  const family = traffic.families().find((one) => one.name === `enc_server_${name}`);
  assert.ok(family, name);
  return family;
}

describe('Traffic', () => {
  it('refuses above its maximum, with a hint, and goes on when there is room', () => {
    const traffic = new Traffic(2);
    traffic.begin();
    traffic.begin();
    assert.throws(() => traffic.begin(), { code: 'OVERLOADED', hint: /requestsMax/ });
    assert.equal(traffic.underWay, 2);
    traffic.end();
    traffic.begin();
    assert.throws(() => traffic.begin(), { code: 'OVERLOADED' });
  });

  it('lets in what is not bounded, and counts it as under way', () => {
    const traffic = new Traffic(1);
    traffic.begin();
    traffic.begin(false);
    assert.equal(traffic.underWay, 2);
    assert.throws(() => traffic.begin(), { code: 'OVERLOADED' });
    traffic.end();
    assert.throws(() => traffic.begin(), { code: 'OVERLOADED' });
    traffic.end();
    traffic.begin();
  });

  it('counts each dialect, operation and outcome by itself', () => {
    const traffic = new Traffic(1);
    const now = performance.now();
    for (let count = 0; count < 3; count++) traffic.note('frames', 'store', 'ok', now);
    traffic.note('frames', 'store', 'CONFLICT', now);
    traffic.note('text', 'store', 'ok', now);
    traffic.note('frames', 'retrieve', 'ok', now);
    assert.equal(traffic.total, 6);
    const { values } = familyOf(traffic, 'requests_total');
    const counted = values.map((one) => [
      ...Object.values(one.labels),
      'value' in one ? one.value : 0,
    ]);
    assert.deepEqual(counted, [
      ['frames', 'store', 'ok', 3],
      ['frames', 'store', 'CONFLICT', 1],
      ['frames', 'retrieve', 'ok', 1],
      ['text', 'store', 'ok', 1],
    ]);
  });

  it('puts times into buckets, in seconds', () => {
    const traffic = new Traffic(1);
    traffic.note('http', 'store', 'ok', performance.now() - 7_000);
    const [row] = familyOf(traffic, 'request_seconds').values;
    assert.ok(row && 'histogram' in row);
    const { bounds, counts, sum } = row.histogram;
    assert.equal(counts[bounds.indexOf(10)], 1);
    assert.ok(sum >= 7 && sum < 10, String(sum));
  });

  it('has one row for each operation and dialect at the most, whatever is asked', () => {
    const traffic = new Traffic(1);
    for (let count = 0; count < 1_000; count++) {
      const name = `verb${count}`;
      traffic.note('text', operationOf(name), 'UNKNOWN_VERB', 0);
    }
    for (const name of Object.keys(OPCODE)) traffic.note('frames', operationOf(name), 'ok', 0);
    const { values } = familyOf(traffic, 'requests_total');
    assert.ok(values.length <= 1 + Object.keys(OPCODE).length);
    for (const { labels } of values) {
      assert.ok((OPERATIONS as readonly (string | undefined)[]).includes(labels['operation']));
    }
  });
});

test('requestsMax holds for all dialects together; probes, metrics and others go on', async () => {
  const servers = await startServers({ feServerConfigs: { requestsMax: 1 } });
  const { port } = servers.fe;
  // A body that does not come keeps its request under way.
  const held = new RawHttp(port);
  const client = new FeClient({ address: { host: '127.0.0.1', port }, attemptsMax: 1 });
  const wire = await Wire.open(port);
  try {
    await client.ping();
    held.write('PUT /v1/record HTTP/1.1\r\nHost: localhost\r\nEnc-Record-Id: abc\r\n');
    held.write(`Enc-Record-Key: ${KEY.toString('hex')}\r\nContent-Length: 4\r\n\r\nab`);
    for (;;) {
      const page = await http(port, 'GET', '/metrics');
      assert.equal(page.status, 200);
      if (/^enc_server_requests_under_way 2$/m.test(page.body.toString())) break;
    }
    await assert.rejects(client.retrieve('abc', KEY), { code: 'OVERLOADED' });
    wire.send('PING\n');
    assert.match(await wire.line(), /^ERROR OVERLOADED too many requests are under way; .*Max/);
    const refused = await http(port, 'GET', '/v1/record', { headers: { 'enc-record-id': 'abc' } });
    assert.equal(refused.status, 503);
    assert.equal(refused.json()['code'], 'OVERLOADED');
    assert.equal((await http(port, 'GET', '/healthz')).status, 200);
    assert.equal((await http(port, 'GET', '/readyz')).status, 200);
    held.write('cd');
    await held.saw(/^HTTP\/1\.1 20[0-9] /);
    // What was under way came to its end, and the connections that were refused live.
    assert.equal(`${(await retrieveSoon(client)).record}`, 'abcd');
    wire.send('PING\n');
    assert.equal(await wire.line(), 'PONG');
    const page = (await http(port, 'GET', '/metrics')).body.toString();
    for (const labels of [
      'dialect="frames",operation="retrieve"',
      'dialect="http",operation="retrieve"',
    ]) {
      assert.match(page, new RegExp(`requests_total{${labels},outcome="OVERLOADED"} [1-9]`));
    }
    assert.match(page, /^enc_server_requests_under_way 1$/m);
  } finally {
    held.destroy();
    wire.close();
    client.close();
    await servers.close();
  }
});

/** The answer is out a moment before its request is over. */
async function retrieveSoon(client: FeClient) {
  for (;;) {
    try {
      return await client.retrieve('abc', KEY);
    } catch (thrown) {
      assert.equal((thrown as { code: string }).code, 'OVERLOADED');
    }
  }
}

test('clients that go away give their place back', async () => {
  const servers = await startServers({ feServerConfigs: { requestsMax: 3 } });
  const { port } = servers.fe;
  try {
    for (let round = 0; round < 10; round++) {
      const held = new RawHttp(port);
      held.write('PUT /v1/record HTTP/1.1\r\nHost: localhost\r\nEnc-Record-Id: abc\r\n');
      held.write('Content-Length: 4\r\n\r\nab');
      // Behind it waits another whose turn never comes.
      held.write('GET /data HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await http(port, 'GET', '/healthz');
      held.destroy();
    }
    for (;;) {
      const page = (await http(port, 'GET', '/metrics')).body.toString();
      if (/^enc_server_requests_under_way 1$/m.test(page)) break;
    }
    assert.equal((await http(port, 'GET', '/data')).status, 200);
  } finally {
    await servers.close();
  }
});

test('what comes while the server closes is counted as GOAWAY', async () => {
  const traffic = new Traffic(10);
  const limits = DEFAULT_LIMITS;
  const budget = new Budget(limits.bytesInFlightMax);
  const host = { limits, budget, traffic, log: silentLog, gate: OPEN_GATE };
  const surface = { handle: async () => ({ fields: [] }) };
  const listening = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = new FrameConnection(socket, host, surface);
    connection.start(Buffer.alloc(0), false);
    connection.drain();
  });
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const wire = await Wire.open((listening.address() as { port: number }).port);
  assert.equal((await wire.frame()).code, OPCODE.GOAWAY);
  wire.request(OPCODE.GET, 7);
  assert.equal(statusOf(await wire.frame()), 'GOAWAY');
  const { values } = familyOf(traffic, 'requests_total');
  const labels = { dialect: 'frames', operation: 'get', outcome: 'GOAWAY' };
  assert.deepEqual(values, [{ labels, value: 1 }]);
  assert.equal(traffic.underWay, 0);
  wire.end();
  listening.close();
  await once(listening, 'close');
});
