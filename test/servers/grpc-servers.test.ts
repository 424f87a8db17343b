/** gRPC on both ports, beside the other dialects: what is stored over one is found over another. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { credentials, status } from '@grpc/grpc-js';
import { service as healthOfPackage } from 'grpc-health-check';
import { BeClient } from '../../lib/be/client.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { loadService } from '../../lib/net/grpc-server.ts';
import { makeToken, revokeToken } from '../helpers/access.ts';
import { makeCertificates } from '../helpers/certificates.ts';
import { GrpcClient, watchHealth } from '../helpers/grpc.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';
import { ask, until } from '../helpers/wire.ts';

const ALICE = Buffer.from('alice');
const HELLO = Buffer.from('hello');
const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));

let servers: TestServers;
let be: GrpcClient;
let fe: GrpcClient;
const closing: { close(): void }[] = [];

before(async () => {
  servers = await startServers();
  be = new GrpcClient(servers.be.port, 'service.BackendService');
  fe = new GrpcClient(servers.fe.port, 'encserver.v1.FrontendService');
  closing.push(be, fe);
});
after(async () => {
  for (const open of closing) open.close();
  await servers.close();
});

test('the back end keeps strings literally, and answers as the Go one does', async () => {
  const id = '616C';
  assert.deepEqual(await be.call('StoreRecord', { id, data: '6869' }), { message: '' });
  assert.deepEqual(await be.call('RetrieveRecord', { id }), { message: '', data: '6869' });
  const other = await be.fails('RetrieveRecord', { id: '616c' });
  assert.equal(other.errorCode, 'NOT_FOUND');
  assert.equal(other.code, status.NOT_FOUND);
  assert.deepEqual(await be.call('StoreRecord', { id, data: '' }), { message: '' });
  assert.deepEqual(await be.call('RetrieveRecord', { id }), { message: '', data: '' });
  assert.deepEqual(await be.call('DeleteRecord', { id }), { message: '' });
  assert.deepEqual(await be.call('DeleteRecord', { id }), { message: '' });
  assert.equal((await be.fails('RetrieveRecord', { id })).errorCode, 'NOT_FOUND');
});

test('what was stored over text is found over gRPC, and the other way', async () => {
  const { port } = servers.be;
  assert.equal(await ask(port, 'STORE 6162 0a0b\n'), 'SUCCESS\n');
  assert.equal((await be.call('RetrieveRecord', { id: '6162' })).data, '0a0b');
  await be.call('StoreRecord', { id: '6163', data: 'ff' });
  assert.equal(await ask(port, 'RETRIEVE 6163\n'), 'ff\n');
  const frames = new BeClient({ address: { host: '127.0.0.1', port } });
  closing.push(frames);
  assert.equal((await frames.retrieve('6163')).toString(), 'ff');
  await frames.store('6164', Buffer.from([0xff]));
  const bytes = await be.fails('RetrieveRecord', { id: '6164' });
  assert.equal(bytes.errorCode, 'NOT_TEXT');
});

test('the back end refuses what it would refuse over text', async () => {
  for (const id of ['', 'a'.repeat(4097)]) {
    assert.equal((await be.fails('StoreRecord', { id, data: '00' })).errorCode, 'INVALID_ID');
    assert.equal((await be.fails('RetrieveRecord', { id })).errorCode, 'INVALID_ID');
    assert.equal((await be.fails('DeleteRecord', { id })).errorCode, 'INVALID_ID');
  }
  const data = 'a'.repeat(8 * 1024 * 1024);
  await be.call('StoreRecord', { id: 'long', data });
  assert.equal((await be.call('RetrieveRecord', { id: 'long' })).data, data);
  const over = await be.fails('StoreRecord', { id: 'long', data: `${data}a` });
  assert.equal(over.errorCode, 'RECORD_TOO_LARGE');
  const far = await be.fails('StoreRecord', { id: 'long', data: data + data });
  assert.deepEqual([far.code, far.errorCode], [status.RESOURCE_EXHAUSTED, 'FRAME_TOO_LARGE']);
});

test('records over gRPC: stored, read, replaced, deleted', async () => {
  const stored = await fe.call('Store', { id: ALICE, record: HELLO });
  assert.equal(stored.key.length, 32);
  assert.equal(stored.replaced, false);
  const read = await fe.call('Retrieve', { id: ALICE, key: stored.key });
  assert.deepEqual(read, { record: HELLO, revision: stored.revision });
  const again = await fe.call('Store', { id: ALICE, record: HELLO, key: KEY });
  assert.equal(again.replaced, true);
  assert.equal(again.key, undefined);
  assert.notDeepEqual(again.revision, stored.revision);
  const wrong = await fe.fails('Retrieve', { id: ALICE, key: stored.key });
  assert.deepEqual([wrong.code, wrong.errorCode], [status.PERMISSION_DENIED, 'WRONG_KEY']);
  const kept = await fe.fails('Delete', { id: ALICE, key: stored.key });
  assert.equal(kept.errorCode, 'WRONG_KEY');
  assert.deepEqual(await fe.call('Delete', { id: ALICE, key: KEY }), { existed: true });
  assert.deepEqual(await fe.call('Delete', { id: ALICE }), { existed: false });
  assert.equal((await fe.fails('Retrieve', { id: ALICE, key: KEY })).errorCode, 'NOT_FOUND');
});

test('gRPC and frames see one record, with its content type, in its namespace', async () => {
  const address = { host: '127.0.0.1', port: servers.fe.port };
  const frames = new FeClient({ address });
  closing.push(frames);
  const namespace = Buffer.from('town');
  const request = { id: ALICE, record: HELLO, key: KEY, namespace };
  await fe.call('Store', request);
  assert.deepEqual((await frames.retrieve('alice', KEY, { namespace })).record, HELLO);
  await frames.store('alice', HELLO, { key: KEY, contentType: 'text/plain', namespace });
  const { contentType } = await fe.call('Retrieve', { id: ALICE, key: KEY, namespace });
  assert.equal(contentType, 'text/plain');
  assert.equal((await fe.fails('Retrieve', { id: ALICE, key: KEY })).errorCode, 'NOT_FOUND');
});

const WRONG: readonly [code: string, request: object][] = [
  ['INVALID_ID', { record: HELLO }],
  ['INVALID_ID', { id: Buffer.alloc(1025, 1), record: HELLO }],
  ['INVALID_KEY', { id: ALICE, record: HELLO, key: Buffer.alloc(0) }],
  ['INVALID_KEY', { id: ALICE, record: HELLO, key: Buffer.alloc(31, 1) }],
  ['INVALID_KEY', { id: ALICE, record: HELLO, oldKey: Buffer.alloc(33, 1) }],
  ['WEAK_KEY', { id: ALICE, record: HELLO, key: Buffer.alloc(32, 1) }],
  ['INVALID_NAMESPACE', { id: ALICE, record: HELLO, namespace: Buffer.alloc(256, 1) }],
  ['INVALID_NAMESPACE', { id: ALICE, record: HELLO, namespace: Buffer.from('enc-server-ts/data') }],
];

for (const [index, [code, request]] of WRONG.entries()) {
  test(`${code} (${index})`, async () => {
    const failure = await fe.fails('Store', request);
    assert.deepEqual([failure.errorCode, failure.code], [code, status.INVALID_ARGUMENT]);
  });
}

test('tokens: who asks is who the metadata says, on both ports', async () => {
  const folder = await temporaryFolder();
  const tokens = join(folder, 'tokens.json');
  const frontend = await makeToken(tokens, ['frontend']);
  const store = await makeToken(tokens, ['store'], { namespace: 'mine' });
  const own = await makeToken(tokens, ['frontend']);
  const guarded = await startServers({
    feServerConfigs: { auth: 'required', tokens },
    beServerConfigs: { auth: 'required', tokens },
    beClientConfigs: { token: own.token },
  });
  const feClient = new GrpcClient(guarded.fe.port, 'encserver.v1.FrontendService');
  const beClient = new GrpcClient(guarded.be.port, 'service.BackendService');
  const health = new GrpcClient(guarded.fe.port, 'grpc.health.v1.Health');
  try {
    const request = { id: '61', data: '62' };
    const nobody = await beClient.fails('StoreRecord', request);
    assert.deepEqual([nobody.code, nobody.errorCode], [status.UNAUTHENTICATED, 'UNAUTHENTICATED']);
    const other = await beClient.fails('StoreRecord', request, { token: store.token });
    assert.deepEqual([other.code, other.errorCode], [status.PERMISSION_DENIED, 'NOT_ALLOWED']);
    await beClient.call('StoreRecord', request, { token: frontend.token });
    const wrong = await beClient.fails('StoreRecord', request, { token: 'est_1_2' });
    assert.equal(wrong.errorCode, 'UNAUTHENTICATED');
    const elsewhere = { id: ALICE, record: HELLO, namespace: Buffer.from('theirs') };
    const theirs = await feClient.fails('Store', elsewhere, { token: store.token });
    assert.equal(theirs.errorCode, 'NOT_ALLOWED');
    const mine = { id: ALICE, record: HELLO };
    assert.equal((await feClient.call('Store', mine, { token: store.token })).replaced, false);
    const read = await feClient.fails('Retrieve', { id: ALICE, key: KEY }, { token: store.token });
    assert.equal(read.errorCode, 'NOT_ALLOWED');
    // A probe asks without.
    await health.call('Check', { service: '' });
    await revokeToken(tokens, frontend.id);
    await until(async () => {
      const failure = beClient.fails('StoreRecord', request, { token: frontend.token });
      return await failure.then(
        ({ errorCode }) => errorCode === 'UNAUTHENTICATED',
        () => false,
      );
    });
  } finally {
    for (const open of [feClient, beClient, health]) open.close();
    await guarded.close();
  }
});

test('TLS: the same inside, and who has the certificate of a front end needs no token', async () => {
  const folder = await temporaryFolder();
  const certificates = await makeCertificates(join(folder, 'tls'));
  const secure = await startServers({
    beServerConfigs: { auth: 'required', tlsClientCa: certificates.ca, ...certificates.leaf('be') },
    beClientConfigs: { tlsCa: certificates.ca, ...certificates.leaf('fe') },
  });
  const ca = readFileSync(certificates.ca);
  const { tlsCert, tlsKey } = certificates.leaf('fe');
  const mutual = credentials.createSsl(ca, readFileSync(tlsKey), readFileSync(tlsCert));
  const address = `localhost:${secure.be.port}`;
  const known = new GrpcClient(address, 'service.BackendService', mutual);
  const unknown = new GrpcClient(address, 'service.BackendService', credentials.createSsl(ca));
  try {
    const data = 'ab'.repeat(1_000_000);
    await known.call('StoreRecord', { id: '61', data });
    assert.equal((await known.call('RetrieveRecord', { id: '61' })).data, data);
    const refused = await unknown.fails('RetrieveRecord', { id: '61' });
    assert.equal(refused.errorCode, 'UNAUTHENTICATED');
  } finally {
    known.close();
    unknown.close();
    await secure.close();
  }
});

test('health: of both servers, by name, and watched', async () => {
  const own = await startServers();
  const health = new GrpcClient(own.fe.port, 'grpc.health.v1.Health');
  const beHealth = new GrpcClient(own.be.port, 'grpc.health.v1.Health');
  const name = 'encserver.v1.FrontendService';
  try {
    assert.deepEqual(await beHealth.call('Check', {}), { status: 'SERVING' });
    assert.deepEqual(await health.call('Check', { service: name }), { status: 'SERVING' });
    const list = await health.call('List', {});
    assert.deepEqual(Object.keys(list.statuses), ['', name]);
    const missing = await health.fails('Check', { service: 'nothing' });
    assert.equal(missing.code, status.NOT_FOUND);
    const watched = watchHealth(health, name);
    const nothing = watchHealth(health, 'nothing');
    await until(() => watched.seen.length === 1 && nothing.seen.length === 1);
    await own.stopBe();
    await until(() => watched.seen.length === 2);
    assert.deepEqual(watched.seen, ['SERVING', 'NOT_SERVING']);
    assert.deepEqual(await health.call('Check', { service: name }), { status: 'NOT_SERVING' });
    await own.restartBe();
    await until(() => watched.seen.length === 3);
    assert.deepEqual(nothing.seen, ['SERVICE_UNKNOWN']);
    // The end of the server is the end of a watch.
    const ended = watched.ended;
    await own.fe.close();
    assert.equal(await ended, status.UNAVAILABLE);
  } finally {
    health.close();
    beHealth.close();
    await own.close();
  }
});

test('the messages of health are those of the package that others use', () => {
  const ours = loadService('grpc/health/v1/health.proto', 'grpc.health.v1.Health');
  for (const [name, theirs] of Object.entries(healthOfPackage)) {
    const method = ours[name];
    assert.ok(method !== undefined, name);
    assert.equal(method.path, theirs.path);
    assert.equal(method.responseStream, theirs.responseStream);
    for (const sample of [
      { service: 'x' },
      { status: 'NOT_SERVING' },
      { statuses: { '': { status: 1 } } },
    ]) {
      assert.deepEqual(method.requestSerialize(sample), theirs.requestSerialize(sample));
      assert.deepEqual(method.responseSerialize(sample), theirs.responseSerialize(sample));
    }
  }
});

test('a client that stays connected does not hold the end of a server up', async () => {
  const own = await startServers({ beServerConfigs: { drainTimeoutMs: 60_000 } });
  const client = new GrpcClient(own.be.port, 'service.BackendService');
  try {
    await client.call('StoreRecord', { id: '61', data: '62' });
    // Its connection stays; the test would not end within its time otherwise.
    await own.close();
  } finally {
    client.close();
  }
});

test('what is asked over gRPC is counted as such', async () => {
  const before = await counted();
  await be.call('StoreRecord', { id: '61', data: '62' });
  await be.fails('RetrieveRecord', { id: 'none' });
  await until(async () => (await counted()).total === before.total + 2);
  const { lines } = await counted();
  assert.match(lines, /requests_total\{dialect="grpc",operation="store",outcome="ok"\}/);
  assert.match(lines, /requests_total\{dialect="grpc",operation="retrieve",outcome="NOT_FOUND"\}/);
});

async function counted(): Promise<{ total: number; lines: string }> {
  const { body } = await http(servers.be.port, 'GET', '/metrics');
  const lines = body
    .toString()
    .split('\n')
    .filter((line) => line.includes('dialect="grpc"'));
  const rows = lines.filter((line) => line.startsWith('enc_server_requests_total'));
  const total = rows.reduce((sum, row) => sum + Number(row.split(' ').at(-1)), 0);
  return { total, lines: lines.join('\n') };
}
