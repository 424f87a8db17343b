/** A front end of several processes: one port, one set of limits, one page of metrics. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import { FeClient } from '../../lib/fe/client.ts';
import { checkHistogram, parsePage } from '../helpers/exposition.ts';
import { GrpcClient } from '../helpers/grpc.ts';
import { http, RawHttp } from '../helpers/http.ts';
import { type RunningUp, run, startUp, until } from '../helpers/programs.ts';
import { Wire } from '../helpers/wire.ts';
import { infoOf, metricsOf, sampleIn, type WorkerWire, wiresToAll } from '../helpers/workers.ts';

const WRONG_KEYS_MAX = 20;
const CONNECTIONS_MAX = 12;
const PER_ADDRESS_MAX = 8;
const RECORD = Buffer.from('of any worker');

let folder: string;
let ca: string;
let up: RunningUp;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-workers-'));
  const tls = join(folder, 'tls');
  ca = join(tls, 'ca.pem');
  const made = await run('enc-server', ['keys', 'tls-init', '--out', tls]);
  assert.equal(made.code, 0, made.stderr);
  up = await startUp(join(folder, 'data'), ['--tls', tls, '--workers', '2'], {
    env: {
      ENC_SERVER_TS_FESERVERCONFIGS_CONNECTIONSMAX: String(CONNECTIONS_MAX),
      ENC_SERVER_TS_FESERVERCONFIGS_CONNECTIONSPERADDRESSMAX: String(PER_ADDRESS_MAX),
      ENC_SERVER_TS_FESERVERCONFIGS_WRONGKEYSPERMINUTEMAX: String(WRONG_KEYS_MAX),
    },
  });
});
after(async () => {
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

/** What a test has opened. */
const opened: { close(): void }[] = [];
const opening = <T extends { close(): void }>(one: T): T => {
  opened.push(one);
  return one;
};
afterEach(async () => {
  for (const one of opened.splice(0)) one.close();
  await until('all connections to be gone', async () => {
    const { status, body } = await http(up.fePort, 'GET', '/metrics').catch(() => BUSY);
    return (status === 200 && /^enc_server_connections 1$/m.test(body.toString())) || undefined;
  });
});
const BUSY = { status: 503, body: Buffer.alloc(0) };

/** A connection to each worker. */
async function wires(): Promise<WorkerWire[]> {
  const all = await wiresToAll(up.fePort, 2);
  for (const { wire } of all) opening(wire);
  return all;
}

test('says once where it listens, and INFO says which worker answers', async () => {
  assert.equal(up.stdout.match(/fe listening on/g)?.length, 1);
  assert.match(up.stdout, /fe listening on 127\.0\.0\.1:\d+ \(keyring new: \S+, back it up\)/);
  const all = await wires();
  for (const { info } of all) {
    assert.deepEqual([info.ok, info.workers, info.connections], [true, 2, 1]);
  }
  assert.notEqual(all[0]?.info.pid, all[1]?.info.pid);
});

test('both loopbacks lead to it', async () => {
  const wire = opening(await Wire.open(up.fePort, '::1'));
  assert.equal((await infoOf(wire)).workers, 2);
});

for (const secure of [false, true]) {
  const how = secure ? 'over TLS' : 'in the clear';
  const clients = () =>
    [1, 2].map(() => {
      const address = { host: 'localhost', port: up.fePort };
      return opening(new FeClient({ address, tls: secure ? { tlsCa: ca } : undefined }));
    });

  test(`frames ${how}: what one worker stored, the other retrieves`, async () => {
    const [first, second] = clients() as [FeClient, FeClient];
    const infos = [await first.info(), await second.info()];
    assert.deepEqual(infos.map((info) => info['worker']).sort(), [1, 2]);
    // Longer than what comes with the first bytes.
    const record = Buffer.alloc(3 * 1024 * 1024, 7);
    const { key } = await first.store(`frames ${how}`, record);
    assert.deepEqual((await second.retrieve(`frames ${how}`, key)).record, record);
  });

  test(`gRPC ${how}, at each worker`, async () => {
    const creds = secure ? credentials.createSsl(readFileSync(ca)) : undefined;
    const to = `localhost:${up.fePort}`;
    const client = () => opening(new GrpcClient(to, 'encserver.v1.FrontendService', creds));
    const [first, second] = [client(), client()];
    const id = Buffer.from(`grpc ${how}`);
    const { key } = await first.call('Store', { id, record: RECORD });
    assert.deepEqual((await second.call('Retrieve', { id, key })).record, RECORD);
  });
}

test('text lines, also of a caller that ends its input before it is answered', async () => {
  const [first, second] = await wires();
  first?.wire.send('STORE text of any worker\n');
  const [, key = ''] = /^(?:OK )?([0-9a-f]{64})/.exec((await first?.wire.line()) ?? '') ?? [];
  second?.wire.send(`RETRIEVE text ${key}\nQUIT\n`);
  second?.wire.end();
  assert.match((await second?.wire.rest())?.toString() ?? '', /of any worker/);
});

test('HTTP and HTTPS, on connections that stay open', async () => {
  const key = Buffer.from(Array.from({ length: 32 }, (_none, at) => at)).toString('hex');
  const stored = { headers: { 'enc-record-key': key }, body: RECORD };
  assert.equal((await http(up.fePort, 'PUT', '/v1/records/http', stored)).status, 201);
  const agent = new Agent({ keepAlive: true, ca: readFileSync(ca) });
  opening({ close: () => agent.destroy() });
  const get = () =>
    new Promise<string>((resolve, reject) => {
      const headers = { 'enc-record-key': key };
      const to = { host: 'localhost', port: up.fePort, path: '/v1/records/http', headers, agent };
      const sent = request(to, async (answer) => {
        let body = '';
        for await (const chunk of answer) body += chunk;
        resolve(body);
      });
      sent.on('error', reject).end();
    });
  for (const body of await Promise.all([get(), get(), get()])) assert.equal(body, `${RECORD}`);
  assert.equal(await get(), `${RECORD}`);
});

/** A connection from one of this machine's addresses, with what it is answered first. */
async function ping(localAddress: string): Promise<{ socket: Socket; answer: string }> {
  const socket = connect({ host: '127.0.0.1', port: up.fePort, localAddress });
  socket.write('PING\n');
  opening({ close: () => socket.destroy() });
  const [chunk] = await new Promise<Buffer[]>((resolve, reject) => {
    socket.once('data', (data) => resolve([data]));
    socket.once('error', reject);
  });
  return { socket, answer: `${chunk}` };
}

test('connectionsMax and connectionsPerAddressMax hold for all workers together', async () => {
  const open: Socket[] = [];
  for (const [address, count] of [
    ['127.0.0.1', PER_ADDRESS_MAX],
    ['127.0.0.2', CONNECTIONS_MAX - PER_ADDRESS_MAX],
  ] as const) {
    for (let index = 0; index < count; index++) {
      const { socket, answer } = await ping(address);
      assert.equal(answer, 'PONG\n');
      open.push(socket);
    }
    if (address === '127.0.0.2') continue;
    const { socket, answer } = await ping(address);
    assert.match(answer, /^ERROR OVERLOADED too many connections of one address; /);
    socket.destroy();
  }
  const refused = await ping('127.0.0.3');
  assert.match(refused.answer, /^ERROR OVERLOADED too many connections; /);
  refused.socket.destroy();
  open.pop()?.destroy();
  await until('room for one more', async () => {
    const { socket, answer } = await ping('127.0.0.3');
    socket.destroy();
    return answer === 'PONG\n' || undefined;
  });
});

test('metrics are those of all workers, whichever is asked', async () => {
  const pingsOf = (page: Awaited<ReturnType<typeof metricsOf>>) =>
    sampleIn(page, 'requests_total', 'text ping ok') ?? 0;
  const before = pingsOf(await metricsOf(up.fePort));
  const all = await wires();
  for (const [index, { wire }] of all.entries()) {
    for (let count = 0; count < 3 + index; count++) {
      wire.send('PING\n');
      assert.equal(await wire.line(), 'PONG');
    }
  }
  // One at each worker.
  const askers = [0, 1].map(() => new RawHttp(up.fePort));
  for (const asker of askers) opening({ close: () => asker.destroy() });
  for (const asker of askers) {
    asker.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    await asker.closed;
    const page = parsePage(asker.received.slice(asker.received.indexOf('\r\n\r\n') + 4));
    assert.equal(pingsOf(page), before + 7);
    assert.ok((sampleIn(page, 'connections') ?? 0) >= 3);
    assert.equal(sampleIn(page, 'in_flight_bytes_max'), 128 * 1024 * 1024);
    assert.equal(sampleIn(page, 'ready'), 1);
    assert.equal(sampleIn(page, 'keyring_epoch'), 1);
    assert.equal(sampleIn(page, 'workers'), 2);
    assert.equal(sampleIn(page, 'worker_restarts_total'), 0);
    assert.ok((sampleIn(page, 'process_cpu_seconds_total') ?? 0) > 0);
    for (const [name, { type, samples }] of page) {
      if (type === 'histogram' && !name.includes('_nodejs_')) checkHistogram(name, samples);
    }
  }
});

test('wrong keys are counted by all workers together', async () => {
  const stored = await http(up.fePort, 'PUT', '/v1/records/guessed', { body: RECORD });
  assert.equal(stored.status, 201);
  const all = await wires();
  const sinceMs = performance.now();
  let wrong = 0;
  for (let refusals = 0; refusals < 40; ) {
    for (const { wire } of all) {
      wire.send(`RETRIEVE guessed ${'00'.repeat(32)}\n`);
      const answer = await wire.line();
      assert.match(answer, /^ERROR (?:WRONG_KEY|RATE_LIMITED) /);
      const isRefused = answer.startsWith('ERROR RATE_LIMITED');
      if (!isRefused) wrong++;
      refusals = isRefused ? refusals + 1 : 0;
    }
    // What is left is divided anew between two tries.
    await delay(10);
  }
  const filled = ((performance.now() - sinceMs) / 60_000) * WRONG_KEYS_MAX;
  assert.ok(wrong >= WRONG_KEYS_MAX, String(wrong));
  assert.ok(wrong <= WRONG_KEYS_MAX + filled + 2, String(wrong));
});
