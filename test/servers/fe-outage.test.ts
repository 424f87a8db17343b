/** What callers of the front end see while the back end is away, silent, or breaks. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { seal } from '../../lib/crypto/envelope.ts';
import { encodeHead } from '../../lib/crypto/head.ts';
import { EncServerError } from '../../lib/errors.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { bytesField, Fields, u8Field, u32Field } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { FakeServer, type Script } from '../helpers/fake-server.ts';
import { startServers, temporaryFolder, testConfig } from '../helpers/servers.ts';
import { ask, statusOf, until, Wire } from '../helpers/wire.ts';

const TRACE = Buffer.from('4bf92f3577b34da6a3ce929d0e0e4736', 'hex');
const REVISION = bytesField(FIELD.REVISION, Buffer.alloc(8, 1));
const WRITTEN = [REVISION, u8Field(FIELD.REPLACED, 0)];

function clientOf(port: number, timeoutMs = 10_000): FeClient {
  return new FeClient({ address: { host: '127.0.0.1', port }, timeoutMs, attemptsMax: 1 });
}

/** A front end whose back end is at this port. */
async function frontEndTo(port: number, timeoutMs = 10_000, requestTimeoutMs = 10_000) {
  const folder = await temporaryFolder();
  const config = await testConfig(folder, {
    beClientConfigs: { serverAddr: `127.0.0.1:${port}`, timeoutMs },
    feServerConfigs: { requestTimeoutMs },
  });
  const server = await startFe(config, silentLog);
  return {
    port: server.port,
    close: async () => {
      await server.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** HELLO as a back end answers it that has met no keyring. */
function welcoming(script: Script): Script {
  return (request, peer) => {
    const storeId = bytesField(FIELD.STORE_ID, Buffer.alloc(16, 1));
    if (request.code === OPCODE.HELLO) peer.reply(request, [storeId]);
    else script(request, peer);
  };
}

async function withFakeBe(
  script: Script,
  run: (port: number, fake: FakeServer) => Promise<void>,
  timeoutMs?: number,
  requestTimeoutMs?: number,
): Promise<void> {
  const fake = await FakeServer.start(welcoming(script));
  const fe = await frontEndTo(fake.port, timeoutMs, requestTimeoutMs);
  try {
    await run(fe.port, fake);
  } finally {
    await fe.close();
    await fake.close();
  }
}

test('a back end that is gone is UNAVAILABLE at once, and found again by itself', async () => {
  const servers = await startServers({ beServerConfigs: { store: 'level' } });
  const client = clientOf(servers.fe.port, 60_000);
  const { key } = await client.store('alice', Buffer.from('x'));
  await servers.stopBe();
  const calls = [
    client.store('alice', Buffer.from('y')),
    client.retrieve('alice', key),
    client.delete('alice'),
  ];
  await Promise.all(calls.map((call) => rejectsWith(call, 'UNAVAILABLE')));
  assert.match(
    await ask(servers.fe.port, 'STORE alice y\n'),
    /^ERROR UNAVAILABLE .*127\.0\.0\.1:\d+/,
  );
  const info = await client.info();
  assert.deepEqual([info['ok'], info['backEnd']], [false, 'unreachable']);
  await servers.restartBe();
  await until(async () => (await client.info())['ok'] === true);
  assert.equal(`${(await client.retrieve('alice', key)).record}`, 'x');
  client.close();
  await servers.close();
});

test('a client that tries again finds the back end after its restart', async () => {
  const servers = await startServers({ beServerConfigs: { store: 'level' } });
  const client = new FeClient({
    address: { host: '127.0.0.1', port: servers.fe.port },
    attemptsMax: 50,
  });
  await client.ping();
  await servers.stopBe();
  const call = client.store('alice', Buffer.from('x'));
  await servers.restartBe();
  assert.equal((await call).replaced, false);
  client.close();
  await servers.close();
});

test('a back end that accepts and never answers is waited for until the deadline', async () => {
  const sockets = new Set<Socket>();
  const dumb = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => dumb.listen(0, '127.0.0.1', resolve));
  const { port } = dumb.address() as { port: number };
  // With its keyring made, the front end waits only for HELLO.
  const fake = await FakeServer.start(welcoming((request, peer) => peer.reply(request, WRITTEN)));
  const folder = await temporaryFolder();
  const first = await testConfig(folder, {
    beClientConfigs: { serverAddr: `127.0.0.1:${fake.port}` },
  });
  await (await startFe(first, silentLog)).close();
  const config = await testConfig(folder, {
    beClientConfigs: { serverAddr: `127.0.0.1:${port}`, timeoutMs: 300 },
  });
  const fe = await startFe(config, silentLog);
  const client = clientOf(fe.port);
  const startedAt = Date.now();
  const calls = [
    client.store('alice', Buffer.from('x')),
    client.retrieve('alice', randomBytes(32)),
  ];
  for (const call of await Promise.allSettled(calls)) {
    assert.ok(call.status === 'rejected');
    // The deadline of the request, or that of the connection, whichever comes first.
    assert.ok(['TIMEOUT', 'UNAVAILABLE'].includes(call.reason.code), call.reason.code);
  }
  assert.ok(Date.now() - startedAt < 5_000);
  client.close();
  await fe.close();
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => dumb.close(() => resolve()));
  await fake.close();
  await rm(folder, { recursive: true });
});

test('a write that is not answered in time is UNKNOWN_OUTCOME, a read TIMEOUT', async () => {
  await withFakeBe(
    () => undefined,
    async (port) => {
      const wire = await Wire.open(port);
      const fields = [bytesField(FIELD.ID, Buffer.from('alice')), u32Field(FIELD.TIMEOUT, 40)];
      wire.request(OPCODE.STORE, 1, fields, 'x');
      assert.equal(statusOf(await wire.frame()), 'UNKNOWN_OUTCOME');
      wire.request(OPCODE.RETRIEVE, 2, [...fields, bytesField(FIELD.KEY, randomBytes(32))]);
      assert.equal(statusOf(await wire.frame()), 'TIMEOUT');
      wire.request(OPCODE.DELETE, 3, fields);
      assert.equal(statusOf(await wire.frame()), 'UNKNOWN_OUTCOME');
      wire.close();
    },
  );
});

test('requestTimeoutMs: a request that names no deadline has that long', async () => {
  await withFakeBe(
    () => undefined,
    async (port) => {
      const wire = await Wire.open(port);
      const id = bytesField(FIELD.ID, Buffer.from('alice'));
      wire.request(OPCODE.STORE, 1, [id], 'x');
      assert.equal(statusOf(await wire.frame()), 'UNKNOWN_OUTCOME');
      wire.request(OPCODE.RETRIEVE, 2, [id, bytesField(FIELD.KEY, randomBytes(32))]);
      assert.equal(statusOf(await wire.frame()), 'TIMEOUT');
      assert.match(await ask(port, 'DELETE alice\n'), /^ERROR UNKNOWN_OUTCOME /);
      wire.close();
    },
    // Longer than a test may take: it is not this one that ends them.
    600_000,
    50,
  );
});

test('no time left is TIMEOUT before anything is sent', async () => {
  const asked: number[] = [];
  await withFakeBe(
    (request) => asked.push(request.code),
    async (port) => {
      const wire = await Wire.open(port);
      const fields = [bytesField(FIELD.ID, Buffer.from('alice')), u32Field(FIELD.TIMEOUT, 0)];
      wire.request(OPCODE.STORE, 1, fields, 'x');
      assert.equal(statusOf(await wire.frame()), 'TIMEOUT');
      assert.deepEqual(asked, []);
      wire.close();
    },
  );
});

test('a back end that dies leaves a write unknown; a read is asked again', async () => {
  let gets = 0;
  const script: Script = (request, peer) => {
    if (request.code === OPCODE.PUT || request.code === OPCODE.REMOVE)
      peer.socket.resetAndDestroy();
    else if (++gets === 1) peer.socket.resetAndDestroy();
    else peer.refuse(request.requestId, new EncServerError('NOT_FOUND', 'nothing there'));
  };
  await withFakeBe(script, async (port, fake) => {
    const client = clientOf(port);
    await rejectsWith(client.store('alice', Buffer.from('x')), 'UNKNOWN_OUTCOME');
    await until(async () => (await client.info())['ok'] === true);
    await rejectsWith(client.delete('alice'), 'UNKNOWN_OUTCOME');
    await until(async () => (await client.info())['ok'] === true);
    await rejectsWith(client.retrieve('alice', randomBytes(32)), 'NOT_FOUND');
    assert.equal(gets, 2);
    const writes = fake.opcodes.filter((code) => code === OPCODE.PUT || code === OPCODE.REMOVE);
    assert.deepEqual(writes, [OPCODE.PUT, OPCODE.REMOVE]);
    client.close();
  });
});

test('the trace ID of a request reaches the back end, on every question that it asks', async () => {
  const traces: string[] = [];
  const script: Script = (request, peer) => {
    const trace = Fields.decode(request.fieldBytes).bytes(FIELD.TRACE);
    traces.push(`${request.code} ${trace?.toString('hex')}`);
    if (request.code === OPCODE.HEAD) {
      peer.refuse(request.requestId, new EncServerError('NOT_FOUND', 'nothing there'));
    } else peer.reply(request, WRITTEN);
  };
  await withFakeBe(script, async (port) => {
    const wire = await Wire.open(port);
    const fields = [bytesField(FIELD.ID, Buffer.from('a')), bytesField(FIELD.TRACE, TRACE)];
    wire.request(OPCODE.STORE, 1, fields, 'x');
    await wire.frame();
    wire.request(OPCODE.DELETE, 2, [...fields, bytesField(FIELD.KEY, randomBytes(32))]);
    await wire.frame();
    const hex = TRACE.toString('hex');
    assert.deepEqual(traces, [`${OPCODE.PUT} ${hex}`, `${OPCODE.HEAD} ${hex}`]);
    // Without one, each request gets its own.
    traces.length = 0;
    wire.request(OPCODE.DELETE, 3, fields.slice(0, 1));
    wire.request(OPCODE.DELETE, 4, fields.slice(0, 1));
    await wire.frames(2);
    assert.equal(new Set(traces).size, 2);
    for (const line of traces) assert.match(line, /^35 [0-9a-f]{32}$/);
    wire.close();
  });
});

test('a size that no record can have is not believed, and told only to who has the key', async () => {
  const key = randomBytes(32);
  const name = { namespace: Buffer.alloc(0), id: Buffer.from('alice') };
  const { header } = seal({ name, key, record: Buffer.from('x') });
  const sizeBytes = 0xffff_ffff;
  const head = [
    bytesField(FIELD.HEAD, encodeHead(Buffer.alloc(32), header)),
    bytesField(FIELD.REVISION, Buffer.alloc(8, 1)),
    u32Field(FIELD.SIZE, sizeBytes),
  ];
  const script: Script = (request, peer) => {
    if (request.code === OPCODE.HEAD) peer.reply(request, head);
    else peer.refuse(request.requestId, new EncServerError('LARGE', 'very large', { sizeBytes }));
  };
  await withFakeBe(script, async (port) => {
    const client = clientOf(port);
    await rejectsWith(client.retrieve('alice', key), 'RECORD_TOO_LARGE');
    await rejectsWith(client.retrieve('alice', randomBytes(32)), 'WRONG_KEY');
    client.close();
  });
});

test('a record that grows for ever is given up', async () => {
  let sizeBytes = 100_000;
  const script: Script = (request, peer) => {
    sizeBytes += 1000;
    peer.refuse(request.requestId, new EncServerError('LARGE', 'larger', { sizeBytes }));
  };
  await withFakeBe(script, async (port, fake) => {
    const client = clientOf(port);
    await rejectsWith(client.retrieve('alice', randomBytes(32)), 'LARGE');
    assert.ok(fake.opcodes.filter((code) => code === OPCODE.GET).length <= 7);
    client.close();
  });
});

test('DELETE with a key looks anew when the record is replaced, but not for ever', async () => {
  const script: Script = (request, peer) => {
    if (request.code === OPCODE.REMOVE) {
      peer.refuse(request.requestId, new EncServerError('CONFLICT', 'another revision'));
    } else if (request.code === OPCODE.PUT) {
      head = Fields.decode(request.fieldBytes).requireBytes(FIELD.HEAD);
      peer.reply(request, WRITTEN);
    } else peer.reply(request, [REVISION, bytesField(FIELD.HEAD, head)]);
  };
  let head: Buffer = Buffer.alloc(0);
  await withFakeBe(script, async (port, fake) => {
    const client = clientOf(port);
    const { key } = await client.store('alice', Buffer.from('x'));
    await rejectsWith(client.delete('alice', { key }), 'OVERLOADED');
    const removes = fake.opcodes.filter((code) => code === OPCODE.REMOVE).length;
    assert.ok(removes > 1 && removes <= 20, `${removes}`);
    client.close();
  });
});
