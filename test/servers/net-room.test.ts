/** The process-wide budget of bytes in flight, seen from outside. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { bytesField, u32Field } from '../../lib/protocol/fields.ts';
import { encodeRequest } from '../../lib/protocol/frame.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { makeToken } from '../helpers/access.ts';
import { Gate, startListening } from '../helpers/listening.ts';
import { startServers, temporaryFolder } from '../helpers/servers.ts';
import { frameOf, statusOf, until, Wire } from '../helpers/wire.ts';

const MIB = 1024 * 1024;

function addressOf(port: number) {
  return { host: '127.0.0.1', port };
}

/** Bytes in flight, without those of this very question. */
async function bytesInFlight(port: number): Promise<unknown> {
  const wire = await Wire.open(port);
  wire.send('INFO\n');
  const { bytesInFlight: bytes } = JSON.parse(await wire.line());
  wire.close();
  return bytes;
}

test('a frame larger than the share of its connection is read to its end', async () => {
  const listening = await startListening({
    limits: { bytesInFlightMax: 12 * MIB, frameBytesMax: 11 * MIB },
  });
  const wire = await Wire.open(listening.port);
  wire.request(OPCODE.PING, 1, [], Buffer.alloc(10 * MIB, 7));
  wire.request(OPCODE.PING, 2, [], 'next');
  assert.equal((await wire.frame()).body.length, 10 * MIB);
  assert.equal((await wire.frame()).body.toString(), 'next');
  wire.close();
  await until(() => listening.budget.inUseBytes === 0);
  await listening.close();
});

test('long lines that together need more than there is are all answered', async () => {
  const listening = await startListening({
    limits: { bytesInFlightMax: 4 * MIB, lineBytesMax: 3 * MIB },
    text: async (line) => `${line.length}`,
  });
  const wires = await Promise.all(Array.from({ length: 6 }, () => Wire.open(listening.port)));
  const line = `STORE a ${'x'.repeat(2 * MIB)}`;
  // All begin before any ends.
  for (const wire of wires) await wire.sendAlone(line.slice(0, 200_000));
  // One has room for the longest line; the others hold nothing that it could need.
  await until(() => listening.budget.inUseBytes === 3 * MIB);
  for (const wire of wires) wire.send(`${line.slice(200_000)}\nPING\n`);
  for (const wire of wires) {
    assert.equal(await wire.line(), `${line.length}`);
    assert.equal(await wire.line(), '4');
    wire.close();
  }
  await until(() => listening.budget.inUseBytes === 0);
  await listening.close();
});

test('a peer that sends little and waits keeps nobody from the longest record', async () => {
  const settings = { bytesInFlightMax: 11 * MIB };
  const servers = await startServers({ feServerConfigs: settings, beServerConfigs: settings });
  const client = new FeClient({ address: addressOf(servers.fe.port) });
  const record = randomBytes(8 * MIB);
  const { key } = await client.store('large', record);
  const idle = await Wire.open(servers.fe.port);
  const frame = Buffer.concat(encodeRequest(OPCODE.PING, 1, [], Buffer.alloc(1_000)));
  await idle.sendAlone(frame.subarray(0, 100));
  assert.ok((await client.retrieve('large', key, { timeoutMs: 5_000 })).record.equals(record));
  idle.close();
  client.close();
  await servers.close();
});

test('a connection over its share is not read until there is room', async () => {
  const gate = new Gate();
  let handled = 0;
  const listening = await startListening({
    limits: { bytesInFlightMax: 8 * MIB },
    frames: async () => {
      handled++;
      await gate.opened;
      return { fields: [] };
    },
  });
  const wire = await Wire.open(listening.port);
  for (let id = 1; id <= 6; id++) wire.request(OPCODE.PING, id, [], Buffer.alloc(MIB));
  const other = await Wire.open(listening.port);
  other.request(OPCODE.PING, 1, [], Buffer.alloc(MIB));
  // The share is 2 MiB: two frames and the begin of no third one.
  await until(() => handled === 3);
  assert.ok(listening.budget.inUseBytes < 4 * MIB);
  gate.open();
  assert.equal((await wire.frames(6)).length, 6);
  for (const one of [wire, other]) one.close();
  await until(() => listening.budget.inUseBytes === 0);
  await listening.close();
});

test('who leaves while waiting for room holds nobody up', async () => {
  const gate = new Gate();
  const listening = await startListening({
    limits: { bytesInFlightMax: 2 * MIB },
    frames: async (frame) => {
      await gate.opened;
      return { fields: [], body: frame.body.subarray(0, 4) };
    },
  });
  const [first, leaver, last] = await Promise.all([
    Wire.open(listening.port),
    Wire.open(listening.port),
    Wire.open(listening.port),
  ]);
  first.request(OPCODE.PING, 1, [], Buffer.alloc(1.5 * MIB));
  await until(() => listening.budget.inUseBytes > 1.5 * MIB);
  await leaver.sendAlone(frameOf(OPCODE.PING, 1, [], Buffer.alloc(MIB)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  last.request(OPCODE.PING, 1, [], 'last');
  leaver.socket.resetAndDestroy();
  gate.open();
  assert.equal((await last.frame()).body.toString(), 'last');
  assert.equal(statusOf(await first.frame()), 'OK');
  for (const one of [first, last]) one.close();
  await until(() => listening.budget.inUseBytes === 0);
  await listening.close();
});

test('the time in which we hold a sender back is not counted against it', async () => {
  const gate = new Gate();
  const listening = await startListening({
    limits: { bytesInFlightMax: 2 * MIB, receiveTimeoutMs: 300 },
    frames: async () => {
      await gate.opened;
      return { fields: [] };
    },
  });
  const [first, second] = [await Wire.open(listening.port), await Wire.open(listening.port)];
  first.request(OPCODE.PING, 1, [], Buffer.alloc(1.5 * MIB));
  await until(() => listening.budget.inUseBytes > 1.5 * MIB);
  second.request(OPCODE.PING, 2, [], Buffer.alloc(MIB));
  await new Promise((resolve) => setTimeout(resolve, 900));
  gate.open();
  for (const wire of [first, second]) {
    assert.equal(statusOf(await wire.frame()), 'OK');
    wire.close();
  }
  await until(() => listening.budget.inUseBytes === 0);
  await listening.close();
});

test('a connection that is cut while it waits for room holds none afterwards', async () => {
  const gate = new Gate();
  let handled = 0;
  const listening = await startListening({
    limits: { bytesInFlightMax: 2 * MIB },
    frames: async () => {
      handled++;
      await gate.opened;
      return { fields: [] };
    },
  });
  const [first, second] = [await Wire.open(listening.port), await Wire.open(listening.port)];
  first.request(OPCODE.PING, 1, [], Buffer.alloc(1.5 * MIB));
  await until(() => handled === 1);
  await second.sendAlone(frameOf(OPCODE.PING, 1, [], Buffer.alloc(MIB)).subarray(0, 1000));
  await until(() => listening.listener.connectionCount === 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await listening.close(0);
  await until(() => listening.listener.connectionCount === 0);
  gate.open();
  await until(() => listening.budget.inUseBytes === 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(listening.budget.inUseBytes, 0);
  for (const one of [first, second]) one.close();
});

test('records of 8 MiB in parallel, far beyond the budget, all come back', async () => {
  const servers = await startServers({
    feServerConfigs: { bytesInFlightMax: 20 * MIB },
    beServerConfigs: { bytesInFlightMax: 20 * MIB },
    beClientConfigs: { timeoutMs: 30_000 },
  });
  const client = new FeClient({
    address: addressOf(servers.fe.port),
    connections: 6,
    timeoutMs: 30_000,
  });
  const record = randomBytes(8 * MIB);
  const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
  const stored = await Promise.all(ids.map((id) => client.store(id, record)));
  const found = await Promise.all(
    ids.map((id, index) => client.retrieve(id, stored[index]?.key ?? Buffer.alloc(0))),
  );
  for (const { record: one } of found) assert.ok(one.equals(record));
  await until(async () => (await bytesInFlight(servers.fe.port)) === 0);
  await until(async () => (await bytesInFlight(servers.be.port)) === 0);
  client.close();
  await servers.close();
});

test('nothing stays reserved after a mixed load with broken connections', async () => {
  const servers = await startServers({
    feServerConfigs: { bytesInFlightMax: 12 * MIB },
    beServerConfigs: { bytesInFlightMax: 12 * MIB },
  });
  const { port } = servers.fe;
  const client = new FeClient({ address: addressOf(port) });
  const record = randomBytes(MIB);
  const { key } = await client.store('big', record);
  const idField = bytesField(FIELD.ID, Buffer.from('big'));
  const keyField = bytesField(FIELD.KEY, key);
  for (let round = 0; round < 8; round++) {
    const wires = await Promise.all(Array.from({ length: 4 }, () => Wire.open(port)));
    const [a, b, c, d] = wires as [Wire, Wire, Wire, Wire];
    a.request(OPCODE.RETRIEVE, 1, [idField, keyField]);
    a.request(OPCODE.CANCEL, 2, [u32Field(FIELD.TARGET, 1)]);
    b.request(OPCODE.STORE, 1, [bytesField(FIELD.ID, Buffer.from(`b${round}`))], record);
    c.send(frameOf(OPCODE.STORE, 1, [idField], record).subarray(0, 300_000));
    d.send(`STORE64 d${round} ${record.toString('base64')}`.slice(0, 400_000 + round));
    await client.retrieve('big', key);
    for (const wire of wires) {
      if (round % 2 === 0) wire.socket.resetAndDestroy();
      else wire.close();
    }
  }
  await until(async () => (await bytesInFlight(port)) === 0);
  await until(async () => (await bytesInFlight(servers.be.port)) === 0);
  assert.ok((await client.retrieve('big', key)).record.equals(record));
  client.close();
  await servers.close();
});

test('whoever accepts more than there is of memory is served all the same', async () => {
  const servers = await startServers({ beServerConfigs: { bytesInFlightMax: 12 * MIB } });
  const be = new BeClient({ address: addressOf(servers.be.port) });
  await be.store('token', randomBytes(100_000));
  const wire = await Wire.open(servers.be.port);
  wire.request(OPCODE.GET, 1, [
    bytesField(FIELD.STORE_KEY, Buffer.from('\x02token')),
    u32Field(FIELD.ACCEPT_BYTES, 0xffff_ffff),
  ]);
  assert.equal((await wire.frame()).body.length, 100_000);
  wire.close();
  be.close();
  await servers.close();
});

test('those who have not said who they are leave room for the others', async () => {
  const folder = await temporaryFolder();
  const tokens = join(folder, 'tokens.json');
  const { token } = await makeToken(tokens, ['store', 'retrieve']);
  const limits = { bytesInFlightMax: '4MiB', recordBytesMax: '1MiB' };
  const { fe, close } = await startServers({
    feServerConfigs: { ...limits, auth: 'required', tokens },
  });
  const id = bytesField(FIELD.ID, Buffer.from('a'));
  const frame = frameOf(OPCODE.STORE, 1, [id], Buffer.alloc(MIB - 100));
  const strangers = await Promise.all(Array.from({ length: 8 }, () => Wire.open(fe.port)));
  // Each announces a long frame, or sends the begin of a long line, and no more.
  for (const [index, wire] of strangers.entries()) {
    await wire.sendAlone(index < 6 ? frame.subarray(0, 20) : `STORE a ${'x'.repeat(100_000)}`);
  }
  const client = new FeClient({ address: addressOf(fe.port), token, timeoutMs: 5_000 });
  const record = randomBytes(900_000);
  const { key } = await client.store('b', record);
  assert.deepEqual((await client.retrieve('b', key)).record, record);
  client.close();
  for (const wire of strangers) wire.close();
  await close();
});
