/** How gRPC's requests are read: what is no string is none, and no two IDs become one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { field, RawGrpc, RECORD_METHODS } from '../helpers/grpc-wire.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const FE = '/encserver.v1.FrontendService';
const BE = '/service.BackendService';
const HEALTH = '/grpc.health.v1.Health';
const NO_UTF8 = Buffer.from('6bff', 'hex');
/** The answer to a RetrieveRecord: no words, and the record `v`. */
const FOUND = Buffer.concat([field(1, ''), field(2, 'v')]);

let servers: TestServers;
let fe: RawGrpc;
let be: RawGrpc;

before(async () => {
  servers = await startServers();
  fe = new RawGrpc(servers.fe.port);
  be = new RawGrpc(servers.be.port);
});
after(async () => {
  fe.close();
  be.close();
  await servers.close();
});

/** The server that has the path. */
function serverOf(path: string): RawGrpc {
  return path.startsWith(BE) ? be : fe;
}

for (const path of RECORD_METHODS) {
  test(`${path}: an empty message`, async () => {
    const failure = await serverOf(path).fails({ path, messages: [Buffer.alloc(0)] });
    const code = path.endsWith('/Retrieve') ? 'INVALID_KEY' : 'INVALID_ID';
    assert.deepEqual(failure, [status.INVALID_ARGUMENT, code]);
  });

  test(`${path}: a string that ends early`, async () => {
    const messages = [Buffer.from('0a0561', 'hex')];
    const failure = await serverOf(path).fails({ path, messages });
    assert.deepEqual(failure, [status.INVALID_ARGUMENT, 'INVALID_FIELD']);
  });
}

test('an ID that is no UTF-8 is refused by each method, and is nobody else', async () => {
  const marked = Buffer.from('k\ufffd');
  const stored = [field(1, marked), field(2, 'v')];
  const put = await be.call({ path: `${BE}/StoreRecord`, messages: [Buffer.concat(stored)] });
  assert.equal(put.status, status.OK);
  for (const hex of ['6bff', '6bfe', '6bc3', '6beda080', '6bc080']) {
    const id = field(1, Buffer.from(hex, 'hex'));
    for (const [name, message] of [
      ['StoreRecord', Buffer.concat([id, field(2, 'w')])],
      ['RetrieveRecord', id],
      ['DeleteRecord', id],
    ] as const) {
      const failure = await be.fails({ path: `${BE}/${name}`, messages: [message] });
      assert.deepEqual(failure, [status.INVALID_ARGUMENT, 'INVALID_ID'], `${name} ${hex}`);
    }
  }
  const got = await be.call({ path: `${BE}/RetrieveRecord`, messages: [field(1, marked)] });
  assert.deepEqual(got.message, FOUND);
});

test('a record that is no UTF-8 is refused, and replaces nothing', async () => {
  const path = `${BE}/StoreRecord`;
  await be.call({ path, messages: [Buffer.concat([field(1, 'kept'), field(2, 'v')])] });
  const other = Buffer.concat([field(1, 'kept'), field(2, NO_UTF8)]);
  const failure = await serverOf(path).fails({ path, messages: [other] });
  assert.deepEqual(failure, [status.INVALID_ARGUMENT, 'INVALID_FIELD']);
  const got = await be.call({ path: `${BE}/RetrieveRecord`, messages: [field(1, 'kept')] });
  assert.deepEqual(got.message, FOUND);
});

test('the name of a service that is no UTF-8 is refused', async () => {
  const failure = await fe.fails({ path: `${HEALTH}/Check`, messages: [field(1, NO_UTF8)] });
  assert.deepEqual(failure, [status.INVALID_ARGUMENT, 'INVALID_FIELD']);
});

test('the front end takes any bytes for IDs and records, and keeps them apart', async () => {
  const key = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
  for (const id of ['6bff', '6bfe', '6befbfbd']) {
    const bytes = Buffer.from(id, 'hex');
    const message = Buffer.concat([field(1, bytes), field(2, bytes), field(3, key)]);
    assert.equal((await fe.call({ path: `${FE}/Store`, messages: [message] })).status, status.OK);
  }
  for (const id of ['6bff', '6bfe', '6befbfbd']) {
    const bytes = Buffer.from(id, 'hex');
    const message = Buffer.concat([field(1, bytes), field(2, key)]);
    const { message: got } = await fe.call({ path: `${FE}/Retrieve`, messages: [message] });
    assert.deepEqual(got?.subarray(0, 2 + bytes.length), field(1, bytes));
  }
});

test('fields that are not known are passed over, wherever they stand', async () => {
  // Field 100 of each wire type; field 1 as a number.
  const unknown = Buffer.from('a00601a1060102030405060708a20601ffa306a406a506010203040801', 'hex');
  const id = field(1, 'unknown fields');
  const message = Buffer.concat([unknown, id, unknown, field(2, 'v'), unknown]);
  const put = await be.call({ path: `${BE}/StoreRecord`, messages: [message] });
  assert.equal(put.status, status.OK);
  const got = await be.call({ path: `${BE}/RetrieveRecord`, messages: [id] });
  assert.deepEqual(got.message, FOUND);
  const gone = Buffer.concat([unknown, field(1, 'nobody')]);
  const deleted = await fe.call({ path: `${FE}/Delete`, messages: [gone] });
  assert.equal(deleted.status, status.OK);
});
