/** Failures of gRPC have their code, also those that grpc-js finds by itself. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { GrpcClient } from '../helpers/grpc.ts';
import { type GrpcServing, startGrpc } from '../helpers/grpc-serving.ts';
import { field, RawGrpc, RECORD_METHODS } from '../helpers/grpc-wire.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { until } from '../helpers/wire.ts';

const FE = '/encserver.v1.FrontendService';
const BE = '/service.BackendService';
const HEALTH = '/grpc.health.v1.Health';
const NOTHING = Buffer.alloc(0);

let servers: TestServers;
let fe: RawGrpc;
let be: RawGrpc;
const closing: { close(): void }[] = [];

before(async () => {
  servers = await startServers();
  fe = new RawGrpc(servers.fe.port);
  be = new RawGrpc(servers.be.port);
  closing.push(fe, be);
});
after(async () => {
  for (const open of closing) open.close();
  await servers.close();
});

/** The server that has the path. */
function serverOf(path: string): RawGrpc {
  return path.startsWith(BE) ? be : fe;
}

for (const path of [...RECORD_METHODS, `${HEALTH}/Check`, `${HEALTH}/Watch`, `${HEALTH}/List`]) {
  test(`${path}: bytes that are no message`, async () => {
    const failure = await serverOf(path).fails({ path, messages: [Buffer.from([0xff])] });
    assert.deepEqual(failure, [status.INVALID_ARGUMENT, 'INVALID_FIELD']);
  });

  test(`${path}: no message, and two`, async () => {
    for (const messages of [[], [NOTHING, NOTHING]]) {
      const failure = await serverOf(path).fails({ path, messages });
      assert.deepEqual(failure, [status.UNIMPLEMENTED, 'UNKNOWN_FIELD']);
    }
  });
}

for (const path of RECORD_METHODS) {
  test(`${path}: a message above the frame maximum`, async () => {
    const messages = [Buffer.alloc(9 * 1024 * 1024 + 1)];
    const failure = await serverOf(path).fails({ path, messages });
    assert.deepEqual(failure, [status.RESOURCE_EXHAUSTED, 'FRAME_TOO_LARGE']);
  });

  test(`${path}: a message that is larger only when it is unpacked`, async () => {
    const headers = { 'grpc-encoding': 'gzip' };
    const messages = [gzipSync(Buffer.alloc(9 * 1024 * 1024 + 1))];
    const failure = await serverOf(path).fails({ path, messages, headers, isCompressed: true });
    assert.deepEqual(failure, [status.RESOURCE_EXHAUSTED, 'FRAME_TOO_LARGE']);
  });

  test(`${path}: a message that cannot be unpacked`, async () => {
    const headers = { 'grpc-encoding': 'gzip' };
    const messages = [Buffer.from('no gzip')];
    const failure = await serverOf(path).fails({ path, messages, headers, isCompressed: true });
    assert.deepEqual(failure, [status.INVALID_ARGUMENT, 'INVALID_FIELD']);
  });

  test(`${path}: a compression that is not known`, async () => {
    const headers = { 'grpc-encoding': 'snappy' };
    const failure = await serverOf(path).fails({
      path,
      messages: [NOTHING],
      headers,
      isCompressed: true,
    });
    assert.deepEqual(failure, [status.UNIMPLEMENTED, 'UNKNOWN_FIELD']);
  });

  test(`${path}: a deadline that is none`, async () => {
    const headers = { 'grpc-timeout': 'soon' };
    const failure = await serverOf(path).fails({ path, messages: [NOTHING], headers });
    assert.deepEqual(failure, [status.INVALID_ARGUMENT, 'INVALID_FIELD']);
  });
}

test('a deadline that ends the work has its code; it is counted so, and its room is free', async () => {
  const served = await startGrpc(async (_request, { signal }) => {
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve());
    });
    return { message: '' };
  });
  const raw = new RawGrpc(served.port);
  closing.push(raw, served);
  const messages = [field(1, 'k')];
  const headers = { 'grpc-timeout': '50m' };
  const ended = await raw.call({ path: `${BE}/StoreRecord`, messages, headers });
  assert.deepEqual([ended.status, ended.errorCode], [status.DEADLINE_EXCEEDED, 'TIMEOUT']);
  await until(() => served.host.traffic.underWay === 0);
  assert.equal(served.host.budget.inUseBytes, 0);
  assert.deepEqual(outcomesOf(served), ['TIMEOUT']);
});

test('a deadline beyond what a timer takes is not over at once', async () => {
  const messages = [Buffer.concat([field(1, 'far'), field(2, 'v')])];
  for (const timeout of ['2147483S', '2147484S', '35792M', '597H', '1200 H', '99999999H']) {
    const headers = { 'grpc-timeout': timeout };
    const ended = await be.call({ path: `${BE}/StoreRecord`, messages, headers });
    assert.equal(ended.status, status.OK, timeout);
  }
});

test('what is refused before a handler is counted by its code, and its room is free', async () => {
  let handled = 0;
  const served = await startGrpc(
    async () => {
      handled++;
      return { message: '' };
    },
    { frameBytesMax: 1_000 },
  );
  const raw = new RawGrpc(served.port);
  closing.push(raw, served);
  const path = `${BE}/StoreRecord`;
  await raw.call({ path, messages: [Buffer.alloc(1_001)] });
  await raw.call({ path, messages: [Buffer.from([0xff])] });
  await raw.call({ path, messages: [] });
  await until(() => served.host.traffic.underWay === 0);
  assert.equal(served.host.budget.inUseBytes, 0);
  assert.equal(handled, 0);
  const expected = ['FRAME_TOO_LARGE', 'INVALID_FIELD', 'UNKNOWN_FIELD'];
  assert.deepEqual(outcomesOf(served).sort(), expected);
});

test('an answer that cannot be written is a defect, and is told without its words', async () => {
  const served = await startGrpc(async () => ['a secret']);
  const client = new GrpcClient(served.port, 'service.BackendService');
  closing.push(client, served);
  const failure = await client.fails('StoreRecord', { id: 'k', data: '' });
  assert.deepEqual([failure.code, failure.errorCode], [status.INTERNAL, 'INTERNAL']);
  assert.doesNotMatch(failure.details, /serializ|secret/);
});

test('messages that are packed with gzip or deflate are read', async () => {
  const message = Buffer.concat([field(1, 'packed'), field(2, 'v')]);
  const path = `${BE}/StoreRecord`;
  for (const [encoding, packed] of [
    ['gzip', gzipSync(message)],
    ['deflate', deflateSync(message)],
  ] as const) {
    const headers = { 'grpc-encoding': encoding };
    const ended = await be.call({ path, messages: [packed], headers, isCompressed: true });
    assert.equal(ended.status, status.OK, encoding);
  }
});

test('a service or method that there is not has the status alone: docs/PROTOCOL.md', async () => {
  for (const path of [`${BE}/Nothing`, '/no.Service/StoreRecord', `${FE}/Store`]) {
    const ended = await be.call({ path, messages: [NOTHING] });
    assert.deepEqual([ended.status, ended.errorCode], [status.UNIMPLEMENTED, undefined]);
  }
});

/** How the calls ended, as it is counted. */
function outcomesOf({ host }: GrpcServing): (string | undefined)[] {
  const [requests] = host.traffic.families();
  assert.ok(requests !== undefined && 'values' in requests);
  return requests.values.map(({ labels }) => labels?.['outcome']);
}
