/** Limits of a whole server, each exceeded; everyone else goes on. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { decodeError } from '../../lib/protocol/error-reply.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { http } from '../helpers/http.ts';
import { Gate, startListening } from '../helpers/listening.ts';
import { startServers } from '../helpers/servers.ts';
import { Wire } from '../helpers/wire.ts';

test('requestsMax: what is too much is refused, the connection and what is under way go on', async () => {
  const gate = new Gate();
  let entered = 0;
  const listening = await startListening({
    limits: { requestsMax: 2 },
    frames: async (frame) => {
      entered++;
      await gate.opened;
      return { fields: [], body: frame.body };
    },
  });
  const [first, second] = [await Wire.open(listening.port), await Wire.open(listening.port)];
  first.request(OPCODE.PING, 1, [], 'a');
  second.request(OPCODE.PING, 1, [], 'b');
  while (entered < 2) await new Promise(setImmediate);
  second.request(OPCODE.PING, 2, [], 'c');
  assert.equal(decodeError(await second.frame()).code, 'OVERLOADED');
  const text = await Wire.open(listening.port);
  text.send('PING\n');
  assert.match(await text.line(), /^ERROR OVERLOADED too many requests are under way; /);
  gate.open();
  assert.equal(`${(await first.frame()).body}`, 'a');
  assert.equal(`${(await second.frame()).body}`, 'b');
  second.request(OPCODE.PING, 3, [], 'd');
  assert.equal(`${(await second.frame()).body}`, 'd');
  for (const wire of [first, second, text]) wire.close();
  await listening.close();
});

/** A connection that says nothing, and stays when the server ends: what it is told until then. */
function silent(port: number): { readonly socket: Socket; readonly told: Promise<string> } {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let words = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    words += text;
  });
  socket.on('error', () => undefined);
  const told = new Promise<string>((resolve) => {
    for (const event of ['end', 'close']) socket.once(event, () => resolve(words));
  });
  return { socket, told };
}

test('connectionsMax: a hundred above it are refused in words at once, the next is cut', async () => {
  const listening = await startListening({ connectionsMax: 1 });
  const first = await Wire.open(listening.port);
  first.send('PING\n');
  assert.equal(await first.line(), 'PING');
  const others = Array.from({ length: 101 }, () => silent(listening.port));
  const told = await Promise.all(others.map((other) => other.told));
  for (const { socket } of others) socket.destroy();
  const words = told.filter((text) => text !== '');
  assert.equal(words.length, 100);
  for (const text of words) assert.match(text, /^ERROR OVERLOADED too many connections; /);
  first.send('PING\n');
  assert.equal(await first.line(), 'PING');
  first.close();
  await listening.close();
});

test('connectionsPerAddressMax: one more is refused in words, until another has gone', async () => {
  const listening = await startListening({ connectionsPerAddressMax: 2 });
  const [first, second] = [await Wire.open(listening.port), await Wire.open(listening.port)];
  for (const wire of [first, second]) {
    wire.send('PING\n');
    await wire.line();
  }
  const third = await Wire.open(listening.port);
  third.send('PING\n');
  assert.match(await third.line(), /^ERROR OVERLOADED too many connections of one address; /);
  second.close();
  for (;;) {
    const next = await Wire.open(listening.port);
    next.send('PING\n');
    const answer = await next.line();
    next.close();
    if (answer === 'PING') break;
    assert.match(answer, /OVERLOADED/);
  }
  first.close();
  third.close();
  await listening.close();
});

test('requestsPerSecondMax: above it RATE_LIMITED in every dialect, on a connection that lives', async () => {
  const servers = await startServers({ feServerConfigs: { requestsPerSecondMax: 5 } });
  try {
    const wire = await Wire.open(servers.fe.port);
    wire.send('PING\n'.repeat(50));
    const answers = [];
    for (let lines = 0; lines < 50; lines++) answers.push(await wire.line());
    assert.ok(answers.filter((answer) => answer === 'PONG').length >= 5);
    assert.ok(answers.some((answer) => /^ERROR RATE_LIMITED too many requests; /.test(answer)));
    const answer = await http(servers.fe.port, 'GET', '/data');
    assert.ok(answer.status === 429 || answer.status === 200);
    wire.close();
  } finally {
    await servers.close();
  }
});
