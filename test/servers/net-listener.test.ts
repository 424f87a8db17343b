import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { startBe } from '../../lib/be/server.ts';
import { silentLog } from '../../lib/log.ts';
import { checkListening, isLoopback } from '../../lib/net/host-policy.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { Gate, startListening } from '../helpers/listening.ts';
import { startServers, testConfig } from '../helpers/servers.ts';
import { ask, framesIn, statusOf, until, Wire } from '../helpers/wire.ts';

const hasV6 = Object.values(networkInterfaces()).some((one) =>
  one?.some(({ address }) => address === '::1'),
);

/** Listens without any rule, to be in the way. */
async function occupy(
  host: string,
  port = 0,
): Promise<{ port: number; free: () => Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ host, port, ipv6Only: true }, resolve));
  const free = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return { port: (server.address() as { port: number }).port, free };
}

test('localhost answers on both loopback addresses', { skip: !hasV6 }, async () => {
  const listening = await startListening({ host: 'localhost' });
  assert.equal(await ask(listening.port, 'PING\n', '127.0.0.1'), 'PING\n');
  assert.equal(await ask(listening.port, 'PING\n', '::1'), 'PING\n');
  await listening.close();
});

test('a port that is taken names the flag', async () => {
  const { port, free } = await occupy('127.0.0.1');
  const error = await rejectsWith(startListening({ port, portFlag: '--fe-port' }), 'PORT_TAKEN');
  assert.match(error.message, new RegExp(`port ${port} `));
  assert.match(error.hint, /--fe-port/);
  await free();
});

test('a port taken on v6 alone is not kept open on v4', { skip: !hasV6 }, async () => {
  const { port, free } = await occupy('::1');
  await rejectsWith(startListening({ host: 'localhost', port }), 'PORT_TAKEN');
  const listening = await startListening({ host: '127.0.0.1', port });
  assert.equal(listening.port, port);
  await listening.close();
  await free();
});

test('a host that is none is an error of the configuration', async () => {
  const error = await rejectsWith(startListening({ host: '192.0.2.1' }), 'BAD_CONFIG');
  assert.match(error.message, /192\.0\.2\.1/);
});

const OPEN = { auth: 'none', allowOpen: false, allowPlaintext: false, tlsCert: '' } as const;

test('beyond loopback a server without authentication refuses to start', async () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    assert.ok(isLoopback(host));
    checkListening({ ...OPEN, host });
  }
  for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.org', '127.example.org']) {
    assert.ok(!isLoopback(host), host);
    checkListening({ ...OPEN, host, allowOpen: true });
  }
  const config = await testConfig('/nonexistent', { beServerConfigs: { host: '0.0.0.0' } });
  const error = await rejectsWith(startBe(config, silentLog), 'NOT_ALLOWED');
  assert.match(error.describe(), /0\.0\.0\.0.*--allow-open.*ENC_SERVER_TS_ALLOW_OPEN.*allowOpen/);
});

test('on purpose, a server listens beyond loopback', async () => {
  const servers = await startServers({
    feServerConfigs: { host: '0.0.0.0', allowOpen: true },
    beServerConfigs: { host: '0.0.0.0', allowOpen: true },
  });
  assert.equal(await ask(servers.fe.port, 'PING\n'), 'PONG\n');
  assert.match(servers.fe.line, /^fe listening on 0\.0\.0\.0:\d+ /);
  await servers.close();
});

test('one connection too many is told so, in its own dialect', async () => {
  const listening = await startListening({ connectionsMax: 1 });
  const first = await Wire.open(listening.port);
  first.send('PING\n');
  assert.equal(await first.line(), 'PING');
  assert.match(await ask(listening.port, 'PING\n'), /^ERROR OVERLOADED too many connections; /);
  const frames = await Wire.open(listening.port);
  frames.request(OPCODE.PING, 1);
  assert.deepEqual([await frames.frame()].map(statusOf), ['OVERLOADED']);
  frames.close();
  assert.match(await ask(listening.port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 503 /);
  const silent = await Wire.open(listening.port);
  assert.match(await silent.line(), /^ERROR OVERLOADED/);
  silent.close();
  first.close();
  await until(() => listening.listener.connectionCount === 0);
  assert.equal(await ask(listening.port, 'PING\n'), 'PING\n');
  await listening.close();
});

test('closing answers what is under way, refuses what comes, and ends', async () => {
  const gate = new Gate();
  const listening = await startListening({
    frames: async (frame) => {
      await gate.opened;
      return { fields: [], body: frame.body };
    },
  });
  const wire = await Wire.open(listening.port);
  wire.request(OPCODE.PING, 1, [], 'before');
  await until(() => listening.budget.inUseBytes > 0);
  const closed = listening.close(10_000);
  const goAway = await wire.frame();
  assert.deepEqual([goAway.reply, goAway.code, goAway.requestId], [false, OPCODE.GOAWAY, 0]);
  wire.request(OPCODE.PING, 2, [], 'after');
  const refused = await wire.frame();
  assert.deepEqual([refused.requestId, statusOf(refused)], [2, 'GOAWAY']);
  gate.open();
  const answered = await wire.frame();
  assert.deepEqual([answered.requestId, answered.body.toString()], [1, 'before']);
  wire.end();
  assert.equal((await wire.rest()).length, 0);
  await closed;
  assert.equal(listening.budget.inUseBytes, 0);
  await assert.rejects(Wire.open(listening.port), { code: 'ECONNREFUSED' });
});

test('an idle connection may still ask while it learns of the end, and is told no', async () => {
  const listening = await startListening();
  const wire = await Wire.open(listening.port);
  wire.request(OPCODE.PING, 1);
  await wire.frame();
  const closed = listening.close(60_000);
  assert.equal((await wire.frame()).code, OPCODE.GOAWAY);
  wire.request(OPCODE.PING, 2);
  assert.equal(statusOf(await wire.frame()), 'GOAWAY');
  wire.end();
  await closed;
});

test('closing ends idle and undecided connections at once', async () => {
  const listening = await startListening();
  const text = await Wire.open(listening.port);
  text.send('PING\n');
  await text.line();
  const silent = await Wire.open(listening.port);
  const half = await Wire.open(listening.port);
  half.send('DELE');
  await until(() => listening.listener.connectionCount === 3);
  const closed = listening.close(60_000);
  assert.equal((await text.rest()).toString(), '');
  for (const wire of [silent, half]) {
    assert.equal(`${await wire.rest()}`, 'ERROR GOAWAY the server is closing; connect again\n');
    wire.end();
  }
  text.end();
  await closed;
});

test('who has just connected learns of the end in its own dialect', async () => {
  const listening = await startListening();
  const wire = await Wire.open(listening.port);
  await until(() => listening.listener.connectionCount === 1);
  const closed = listening.close(60_000);
  wire.request(OPCODE.HELLO, 1);
  assert.equal(statusOf(await wire.frame()), 'GOAWAY');
  wire.end();
  await closed;
});

test('text lines under way are answered, those behind them refused in words', async () => {
  const gate = new Gate();
  const listening = await startListening({
    text: async (line) => {
      await gate.opened;
      return line;
    },
  });
  const wire = await Wire.open(listening.port);
  wire.send('PING\nINFO\n');
  await until(() => listening.budget.inUseBytes > 0);
  const closed = listening.close(10_000);
  gate.open();
  assert.equal(await wire.line(), 'PING');
  assert.match(await wire.line(), /^ERROR GOAWAY/);
  wire.end();
  assert.equal((await wire.rest()).length, 0);
  await closed;
});

test('what is not done by the deadline is cut', async () => {
  const gate = new Gate();
  let signal: AbortSignal | undefined;
  const listening = await startListening({
    frames: async (_frame, context) => {
      signal = context.signal;
      await gate.opened;
      return { fields: [] };
    },
  });
  const wire = await Wire.open(listening.port);
  wire.request(OPCODE.PING, 1);
  await until(() => signal !== undefined);
  await listening.close(60);
  const frames = framesIn(await wire.rest());
  assert.deepEqual(
    frames.map(({ code }) => code),
    [OPCODE.GOAWAY],
  );
  await until(() => signal?.aborted === true);
  gate.open();
  await until(() => listening.budget.inUseBytes === 0);
});
