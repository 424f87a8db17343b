/** Requests that never arrive, and replies that nobody takes, keep nobody else waiting. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { bytesField } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { makeToken } from '../helpers/access.ts';
import { startServers, temporaryFolder } from '../helpers/servers.ts';
import { frameOf, until, Wire } from '../helpers/wire.ts';

const MIB = 1024 * 1024;
const LIMITS = { bytesInFlightMax: '16MiB', recordBytesMax: '2MiB' };
/** Shorter than any time limit of a server: whoever waits for one is late. In milliseconds. */
const SOON_MS = 5_000;

async function fill(
  t: TestContext,
  port: number,
  count: number,
  head: string | Buffer,
): Promise<Socket[]> {
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket: Socket = connect(port, '127.0.0.1').on('error', () => undefined);
      await new Promise((resolve) => socket.write(head, resolve));
      return socket;
    }),
  );
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  return sockets;
}

async function bytesInFlight(port: number, token?: string): Promise<number> {
  return (await info(port, token)).bytesInFlight;
}

/** Its own connection is counted. */
async function info(
  port: number,
  token?: string,
): Promise<{ bytesInFlight: number; connections: number; requestsUnderWay: number }> {
  const wire = await Wire.open(port);
  if (token !== undefined) {
    wire.send(`AUTH ${token}\n`);
    assert.equal(await wire.line(), 'SUCCESS');
  }
  wire.send('INFO\n');
  const facts = JSON.parse(await wire.line());
  wire.close();
  return facts;
}

/** Small requests in each dialect but gRPC, whose messages announce no length. */
async function checkSmall(port: number): Promise<void> {
  const wire = await Wire.open(port);
  const begun = performance.now();
  wire.send('STORE small text\n');
  assert.match(await wire.line(), /^[0-9a-f]{64}$/);
  wire.close();
  const client = new FeClient({ address: { host: '127.0.0.1', port }, timeoutMs: SOON_MS });
  const { key } = await client.store('small', randomBytes(60_000));
  assert.equal((await client.retrieve('small', key)).record.length, 60_000);
  client.close();
  const base = `http://127.0.0.1:${port}`;
  const put = await fetch(`${base}/v1/records/small`, { method: 'PUT', body: 'x' });
  assert.equal(put.status, 200);
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ id: 1, data: 'x' });
  assert.equal((await fetch(`${base}/data`, { method: 'POST', headers, body })).status, 200);
  assert.ok(performance.now() - begun < SOON_MS);
}

/** Together more than there is room for, whatever they announce. */
const BEGUN_COUNT = 300;
const BEGUN = {
  'large frames': Buffer.concat([Buffer.from([0, 0x1f, 0, 0]), Buffer.from('\x01\x02', 'latin1')]),
  'small frames': Buffer.concat([Buffer.from([0, 0, 0xff, 0]), Buffer.from('\x01\x02', 'latin1')]),
  'long lines': `STORE long ${'x'.repeat(100_000)}`,
  'large bodies': `PUT /v1/records/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${2 * MIB}\r\n\r\nx`,
  'small bodies': 'PUT /v1/records/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nx',
  'chunked bodies':
    'POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n',
};

for (const [what, head] of Object.entries(BEGUN)) {
  test(`${what} that never arrive keep no small request waiting`, async (t) => {
    const { fe, close } = await startServers({ feServerConfigs: LIMITS });
    t.after(close);
    await fill(t, fe.port, BEGUN_COUNT, head);
    await checkSmall(fe.port);
  });
}

test('replies that nobody takes keep no small request waiting', async (t) => {
  const { fe, close } = await startServers({ feServerConfigs: LIMITS });
  t.after(close);
  const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port } });
  t.after(() => client.close());
  const { key } = await client.store('large', randomBytes(2 * MIB));
  const fields = [bytesField(FIELD.ID, Buffer.from('large')), bytesField(FIELD.KEY, key)];
  const requests = Array.from({ length: 8 }, (_, index) =>
    frameOf(OPCODE.RETRIEVE, index + 1, fields),
  );
  const sockets = Array.from({ length: 16 }, () => connect(fe.port, '127.0.0.1'));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  // Nothing reads from them.
  for (const socket of sockets) socket.write(Buffer.concat(requests));
  await until(async () => (await bytesInFlight(fe.port)) > 12 * MIB);
  await checkSmall(fe.port);
});

test('answers to batches that nobody takes keep no small request waiting', async (t) => {
  const { fe, close } = await startServers({ feServerConfigs: LIMITS });
  t.after(close);
  const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port } });
  t.after(() => client.close());
  const { key } = await client.store('one', randomBytes(60_000));
  const one = { op: 'retrieve', id: 'one', key: key.toString('hex') };
  const body = JSON.stringify({ items: Array.from({ length: 32 }, () => one) }).padEnd(60_000);
  const head = `POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`;
  // Together their bodies are more than there is for small ones.
  await fill(t, fe.port, 80, (head + body).repeat(3));
  await until(async () => {
    // INFO would wait where this fails.
    const page = await (await fetch(`http://127.0.0.1:${fe.port}/metrics`)).text();
    return Number(/^enc_server_in_flight_bytes (\d+)$/m.exec(page)?.[1]) > 80 * MIB;
  });
  await checkSmall(fe.port);
});

test('a record of almost 64 KiB that the back end has no room for keeps no small one waiting', async (t) => {
  const { fe, be, close } = await startServers({
    beServerConfigs: LIMITS,
    feServerConfigs: LIMITS,
  });
  t.after(close);
  const holders = await fill(t, be.port, 20, BEGUN['large frames']);
  await until(async () => (await bytesInFlight(be.port)) > 8 * MIB);
  const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port } });
  t.after(() => client.close());
  const waiting = ['a', 'b'].map((id) => client.store(id, randomBytes(65_400)).catch(() => 0));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await checkSmall(fe.port);
  for (const socket of holders) socket.destroy();
  await Promise.all(waiting);
});

test('a body whose connection closes while it waits for room leaves none taken', async (t) => {
  const { fe, close } = await startServers({ feServerConfigs: LIMITS });
  t.after(close);
  const head = `PUT /v1/records/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${2 * MIB}\r\n\r\nx`;
  const holders = await fill(t, fe.port, 6, head);
  await until(async () => (await bytesInFlight(fe.port)) >= 12 * MIB);
  const waiting = await fill(t, fe.port, 4, head);
  await until(async () => (await info(fe.port)).connections > 10);
  for (const socket of waiting) socket.destroy();
  await until(async () => (await info(fe.port)).connections <= 7);
  for (const socket of holders) socket.destroy();
  await until(async () => (await bytesInFlight(fe.port)) === 0);
});

test('one caller whose requests never arrive leaves room for the large ones of others', async (t) => {
  const tokens = join(await temporaryFolder(), 'tokens.json');
  const [mine, theirs] = [
    await makeToken(tokens, ['store', 'retrieve', 'admin']),
    await makeToken(tokens, ['store']),
  ];
  const access = { auth: 'required', tokens };
  const { fe, close } = await startServers({ feServerConfigs: { ...LIMITS, ...access } });
  t.after(close);
  const head = [
    'PUT /v1/records/x HTTP/1.1',
    'Host: localhost',
    `Authorization: Bearer ${theirs.token}`,
    `Content-Length: ${2 * MIB}`,
  ];
  await fill(t, fe.port, 20, `${head.join('\r\n')}\r\n\r\nx`);
  await until(async () => (await bytesInFlight(fe.port, mine.token)) >= 6 * MIB);
  const address = { host: '127.0.0.1', port: fe.port };
  const client = new FeClient({ address, token: mine.token, timeoutMs: SOON_MS });
  t.after(() => client.close());
  const record = randomBytes(1.5 * MIB);
  const { key } = await client.store('mine', record);
  assert.deepEqual((await client.retrieve('mine', key)).record, record);
});

test('whoever leaves while its request waits for room does not wait any longer', async (t) => {
  const { fe, close } = await startServers({ feServerConfigs: LIMITS });
  t.after(close);
  const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port } });
  t.after(() => client.close());
  const { key } = await client.store('large', randomBytes(2 * MIB));
  // They hold all the room for large ones.
  const [first] = await fill(t, fe.port, 6, BEGUN['large bodies']);
  await until(async () => (await bytesInFlight(fe.port)) >= 12 * MIB);
  const get = ['GET /v1/records/large HTTP/1.1', 'Host: localhost'];
  const head = [...get, `Enc-Record-Key: ${key.toString('hex')}`, '', ''].join('\r\n');
  const [reader] = await fill(t, fe.port, 1, head);
  await until(async () => (await info(fe.port)).requestsUnderWay === 7);
  const stored = client.store('next', randomBytes(1.5 * MIB), { timeoutMs: SOON_MS });
  reader?.resetAndDestroy();
  // Enough for the one that is stored, not for the one that was read.
  first?.destroy();
  await stored;
});
