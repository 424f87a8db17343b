/** What every gRPC call gets, whatever it asks for: times, room, and an end. */
import assert from 'node:assert/strict';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { after, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { EncServerError } from '../../lib/errors.ts';
import type { GrpcMethod } from '../../lib/net/grpc-server.ts';
import type { RequestContext } from '../../lib/net/request.ts';
import type { Limits } from '../../lib/protocol/limits.ts';
import { GrpcClient } from '../helpers/grpc.ts';
import { type GrpcServing, startGrpc } from '../helpers/grpc-serving.ts';
import { until } from '../helpers/wire.ts';

const PATH = '/service.BackendService/StoreRecord';
const closing: { close(): void }[] = [];
after(() => {
  for (const open of closing) open.close();
});

async function serving(
  store: GrpcMethod['handle'],
  limits: Partial<Limits> = {},
): Promise<{ served: GrpcServing; client: GrpcClient }> {
  const served = await startGrpc(store, limits);
  const client = new GrpcClient(served.port, 'service.BackendService');
  closing.push(client, served);
  return { served, client };
}

/** A call whose headers alone were sent. */
function begin(port: number): { session: ClientHttp2Session; stream: ClientHttp2Stream } {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  closing.push({ close: () => session.destroy() });
  const stream = session.request({
    ':method': 'POST',
    ':path': PATH,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  return { session, stream };
}

/** Until its request is aborted. */
async function untilAborted({ signal }: RequestContext): Promise<object> {
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve());
  });
  return { message: '' };
}

test('a call that is taken back ends the work, and gives its room back', async () => {
  let begun: RequestContext | undefined;
  const { served, client } = await serving(async (_request, context) => {
    begun = context;
    return await untilAborted(context);
  });
  let cancel: () => void = () => undefined;
  const failed = client.fails(
    'StoreRecord',
    { id: '61', data: '62'.repeat(1000) },
    { started: (call) => (cancel = () => call.cancel()) },
  );
  await until(() => begun !== undefined);
  assert.equal(served.host.budget.inUseBytes, 2002);
  assert.equal(served.host.traffic.underWay, 1);
  cancel();
  assert.equal((await failed).code, status.CANCELLED);
  await until(() => begun?.signal.aborted === true);
  await until(() => served.host.traffic.underWay === 0);
  assert.equal(served.host.budget.inUseBytes, 0);
});

test('a deadline is known to the work, and ends it', async () => {
  let begun: RequestContext | undefined;
  const { served, client } = await serving(async (_request, context) => {
    begun = context;
    return await untilAborted(context);
  });
  // Connected before, so that all of its time goes by while the work is under way.
  await new Promise<void>((resolve, reject) => {
    client.client.waitForReady(Number.POSITIVE_INFINITY, (error) =>
      error === undefined ? resolve() : reject(error),
    );
  });
  const deadline = Date.now() + 500;
  const latestMs = performance.now() + 1_500;
  const { code } = await client.fails('StoreRecord', { id: '61', data: '' }, { deadline });
  assert.equal(code, status.DEADLINE_EXCEEDED);
  // On the way it is a number of milliseconds that are left.
  assert.ok(begun !== undefined && begun.deadlineMs < latestMs);
  await until(() => begun?.signal.aborted === true);
  await until(() => served.host.traffic.underWay === 0);
  assert.equal(served.host.budget.inUseBytes, 0);
});

test('a message above the limit is refused before it is taken in', async () => {
  let handled = 0;
  const { served, client } = await serving(
    async () => {
      handled++;
      return { message: '' };
    },
    { frameBytesMax: 1_000 },
  );
  const far = await client.fails('StoreRecord', { id: '61', data: 'a'.repeat(1_001) });
  assert.deepEqual([far.code, far.errorCode], [status.RESOURCE_EXHAUSTED, 'FRAME_TOO_LARGE']);
  assert.equal(handled, 0);
  await client.call('StoreRecord', { id: '61', data: 'a'.repeat(900) });
  assert.equal(handled, 1);
  await until(() => served.host.budget.inUseBytes === 0);
});

test('a message of which only the length comes is refused in time, and holds no room after', async () => {
  const { served } = await serving(async () => ({ message: '' }), { receiveTimeoutMs: 50 });
  const { stream } = begin(served.port);
  stream.write(Buffer.from('0000001000', 'hex'));
  await until(() => served.host.budget.inUseBytes > 0);
  const headers = await new Promise<Record<string, unknown>>((resolve) => {
    stream.on('response', resolve);
  });
  assert.equal(headers['grpc-status'], String(status.DEADLINE_EXCEEDED));
  assert.equal(headers['enc-error-code'], 'TIMEOUT');
  await until(() => served.host.budget.inUseBytes === 0);
});

test('one connection that sends nothing holds a part of the room; others are served', async () => {
  const frameBytesMax = 1_000;
  // A quarter is two messages.
  const limits = { frameBytesMax, bytesInFlightMax: 8_000, receiveTimeoutMs: 500 };
  const { served, client } = await serving(async () => ({ message: 'done' }), limits);
  const { session, stream } = begin(served.port);
  const streams = Array.from({ length: 20 }, () => session.request({ ...HEADERS }));
  for (const each of streams) each.on('error', () => undefined);
  await until(() => served.host.budget.inUseBytes === 2 * frameBytesMax);
  assert.deepEqual(await client.call('StoreRecord', { id: '61', data: '' }), { message: 'done' });
  assert.equal(served.host.budget.inUseBytes, 2 * frameBytesMax);
  // Each that goes makes room for the next one.
  stream.close(constants.NGHTTP2_CANCEL);
  for (const each of streams.slice(0, 18)) each.close(constants.NGHTTP2_CANCEL);
  await until(() => served.host.traffic.underWay === 2);
  session.destroy();
  await until(() => served.host.budget.inUseBytes === 0);
  assert.equal(served.host.traffic.underWay, 0);
});

test('a call waits for room, and is refused when there is none in time', async () => {
  const { served, client } = await serving(async () => ({ message: '' }), {
    frameBytesMax: 1_000,
    bytesInFlightMax: 4_000,
    requestTimeoutMs: 50,
  });
  served.host.budget.count(3_500);
  const refused = await client.fails('StoreRecord', { id: '61', data: '' });
  assert.equal(refused.errorCode, 'OVERLOADED');
  served.host.budget.release(3_500);
  assert.deepEqual(await client.call('StoreRecord', { id: '61', data: '' }), { message: '' });
});

test('more calls at once than are let in are refused', async () => {
  const { client } = await serving((_request, context) => untilAborted(context), {
    requestsMax: 1,
  });
  let cancel: () => void = () => undefined;
  const first = client.fails(
    'StoreRecord',
    { id: '61', data: '' },
    { started: (call) => (cancel = () => call.cancel()) },
  );
  let second = await client.fails('StoreRecord', { id: '61', data: '' });
  // Until the first one is there.
  while (second.errorCode !== 'OVERLOADED') {
    second = await client.fails('StoreRecord', { id: '61', data: '' });
  }
  assert.equal(second.code, status.RESOURCE_EXHAUSTED);
  cancel();
  await first;
});

test('a defect is told without its words', async () => {
  const { client } = await serving(async () => {
    throw new Error('the secret is 1234');
  });
  const { code, errorCode, details } = await client.fails('StoreRecord', { id: '61', data: '' });
  assert.equal(code, status.INTERNAL);
  assert.equal(errorCode, 'INTERNAL');
  assert.doesNotMatch(details, /1234/);
});

test('an answer that is not taken cuts the connection', async () => {
  const { served } = await serving(async () => ({ message: 'm'.repeat(1_000_000) }), {
    sendTimeoutMs: 50,
  });
  const { session, stream } = begin(served.port);
  // Nothing is read of it, so HTTP/2's window stays as it is.
  stream.pause();
  stream.end(Buffer.from('0000000000', 'hex'));
  await until(() => served.host.budget.inUseBytes > 0);
  await new Promise((resolve) => session.on('close', resolve));
  await until(() => served.host.budget.inUseBytes === 0);
  assert.equal(served.host.traffic.underWay, 0);
});

test('draining answers what is under way, refuses what is new, and closes connections', async () => {
  let finish: () => void = () => undefined;
  const { served, client } = await serving(
    () =>
      new Promise((resolve) => {
        finish = () => resolve({ message: 'done' });
      }),
  );
  const idle = new GrpcClient(served.port, 'grpc.health.v1.Health');
  closing.push(idle);
  await idle.call('Check', { service: '' });
  const answer = client.call('StoreRecord', { id: '61', data: '' });
  await until(() => served.host.traffic.underWay === 1);
  assert.equal(served.sockets.size, 2);
  served.door.drain();
  await until(() => served.sockets.size === 1);
  finish();
  assert.deepEqual(await answer, { message: 'done' });
  await until(() => served.sockets.size === 0);
});

test('what is no gRPC is refused, and the connection lives on', async () => {
  const { served, client } = await serving(async () => ({ message: '' }));
  const { session } = begin(served.port);
  const statusOf = (headers: Record<string, string>) =>
    new Promise<Record<string, unknown>>((resolve) => {
      session.request(headers).on('response', resolve).end();
    });
  const page = await statusOf({ ':path': '/records/61' });
  assert.equal(page[':status'], 415);
  const unknown = await statusOf({ ...HEADERS, ':path': '/service.BackendService/Nothing' });
  assert.equal(unknown['grpc-status'], String(status.UNIMPLEMENTED));
  assert.equal((await client.fails('RetrieveRecord', { id: '61' })).code, status.UNIMPLEMENTED);
  assert.equal(session.closed, false);
});

test('bytes that are no message are refused', async () => {
  const { served } = await serving(async () => ({ message: '' }));
  const { stream } = begin(served.port);
  // Field 1 with a length beyond the end.
  stream.end(Buffer.from('00000000020aff', 'hex'));
  const headers = await new Promise<Record<string, unknown>>((resolve) => {
    stream.on('response', resolve);
  });
  assert.equal(headers['grpc-status'], String(status.INVALID_ARGUMENT));
  assert.equal(headers['enc-error-code'], 'INVALID_FIELD');
  await until(() => served.host.budget.inUseBytes === 0);
});

test('errors have the number of the table', async () => {
  const { client } = await serving(async () => {
    throw new EncServerError('CONFLICT', 'ä', { hint: 'ö\n' });
  });
  const failure = await client.fails('StoreRecord', { id: '61', data: '' });
  const details = 'CONFLICT ä; ö\n';
  assert.deepEqual(failure, { code: status.ABORTED, errorCode: 'CONFLICT', details });
});

const HEADERS = {
  ':method': 'POST',
  ':path': PATH,
  'content-type': 'application/grpc',
  te: 'trailers',
};
