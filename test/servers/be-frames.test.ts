import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { BeClient, type BeClientOptions } from '../../lib/be/client.ts';
import { decodeScanItems, encodeScanItems } from '../../lib/be/scan-items.ts';
import { bytesField, emptyField, Fields, u32Field } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { IF_ABSENT, ifRevision } from '../../lib/store/store.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { statusOf, Wire } from '../helpers/wire.ts';

let servers: TestServers;
let keyringId: Buffer;
const clients: BeClient[] = [];

before(async () => {
  servers = await startServers();
  const { keyring } = await newClient().info();
  keyringId = Buffer.from(`${keyring}`, 'hex');
});
after(async () => {
  for (const client of clients) client.close();
  await servers.close();
});

function newClient(options: Partial<BeClientOptions> = {}): BeClient {
  const address = { host: '127.0.0.1', port: servers.be.port };
  const client = new BeClient({ address, ...options });
  clients.push(client);
  return client;
}

/** As a front end with this keyring. */
function boundClient(epoch = 1): BeClient {
  return newClient({ keyring: async () => ({ keyringId, epoch }) });
}

function recordKey(): Buffer {
  return Buffer.concat([Buffer.from([1]), randomBytes(26)]);
}

function value(body: Buffer | string, expiryMs = 0) {
  return { head: Buffer.from('head'), body: Buffer.from(body), expiryMs };
}

test('put, get, head and remove of a record', async () => {
  const client = boundClient();
  const key = recordKey();
  const put = await client.put(key, value('body'));
  assert.equal(put.replaced, false);
  const found = await client.get(key, 100);
  assert.deepEqual(
    {
      head: `${found.head}`,
      body: `${found.body}`,
      bytes: found.bodyBytes,
      expiry: found.expiryMs,
    },
    { head: 'head', body: 'body', bytes: 4, expiry: 0 },
  );
  assert.deepEqual(found.revision, put.revision);
  const head = await client.head(key);
  assert.deepEqual([head.bodyBytes, head.revision], [4, put.revision]);
  assert.equal((await client.put(key, value('other'))).replaced, true);
  assert.equal(await client.remove(key), true);
  assert.equal(await client.remove(key), false);
  await rejectsWith(client.get(key, 100), 'NOT_FOUND');
  await rejectsWith(client.head(key), 'NOT_FOUND');
});

test('conditions', async () => {
  const client = boundClient();
  const key = recordKey();
  const first = await client.put(key, value('1'), IF_ABSENT);
  await rejectsWith(client.put(key, value('2'), IF_ABSENT), 'CONFLICT');
  const second = await client.put(key, value('2'), ifRevision(first.revision));
  await rejectsWith(client.put(key, value('3'), ifRevision(first.revision)), 'CONFLICT');
  await rejectsWith(client.remove(key, ifRevision(first.revision)), 'CONFLICT');
  assert.equal(await client.remove(key, ifRevision(second.revision)), true);
});

test('two conditions exclude each other', async () => {
  const wire = await Wire.open(servers.be.port);
  wire.request(OPCODE.PUT, 1, [
    bytesField(FIELD.STORE_KEY, Buffer.from('\x02x')),
    emptyField(FIELD.IF_ABSENT),
    bytesField(FIELD.IF_REVISION, Buffer.alloc(8)),
  ]);
  assert.equal(statusOf(await wire.frame()), 'INVALID_FIELD');
  wire.close();
});

test('what has expired is not there', async () => {
  const client = boundClient();
  const [gone, there] = [recordKey(), recordKey()];
  await client.put(gone, value('x', Date.now() - 1));
  const expiryMs = Date.now() + 60_000;
  await client.put(there, value('x', expiryMs));
  await rejectsWith(client.get(gone, 100), 'NOT_FOUND');
  assert.equal((await client.get(there, 100)).expiryMs, expiryMs);
});

test('a body above what is accepted is LARGE with its size', async () => {
  const client = boundClient();
  const key = recordKey();
  await client.put(key, value(Buffer.alloc(1000)));
  const error = await rejectsWith(client.get(key, 999), 'LARGE');
  assert.equal(error.sizeBytes, 1000);
  assert.equal((await client.get(key, 1000)).bodyBytes, 1000);
  await client.put(key, value(Buffer.alloc(500_000)));
  assert.equal((await rejectsWith(client.get(key, 400_000), 'LARGE')).sizeBytes, 500_000);
});

test('an asker that names no bound gets what fits into a frame', async () => {
  const client = newClient();
  await client.store('large', Buffer.alloc(8 * 1024 * 1024));
  const wire = await Wire.open(servers.be.port);
  wire.request(OPCODE.GET, 1, [bytesField(FIELD.STORE_KEY, Buffer.from('\x02large'))]);
  assert.equal((await wire.frame()).body.length, 8 * 1024 * 1024);
  wire.close();
  assert.equal((await client.retrieve('large')).length, 8 * 1024 * 1024);
});

test('records are for front ends', async () => {
  const client = newClient();
  const error = await rejectsWith(client.get(recordKey(), 1), 'NOT_ALLOWED');
  assert.match(error.hint, /HELLO/);
  await rejectsWith(client.put(recordKey(), value('x')), 'NOT_ALLOWED');
  await rejectsWith(client.head(recordKey()), 'NOT_ALLOWED');
  await rejectsWith(client.remove(recordKey()), 'NOT_ALLOWED');
  await rejectsWith(client.scan(Buffer.from([1]), undefined, 1), 'NOT_ALLOWED');
});

for (const hex of ['00', '0061', '01', '0100', '02', '03', 'ff61']) {
  test(`the store key ${hex} is none that may be asked for`, async () => {
    await rejectsWith(boundClient().get(Buffer.from(hex, 'hex'), 1), 'INVALID_FIELD');
  });
}

test('the meta table cannot be listed', async () => {
  await rejectsWith(boundClient().scan(Buffer.from([0]), undefined, 1), 'INVALID_FIELD');
});

test('another keyring is refused in words, a known one is told', async () => {
  const foreign = newClient({ keyring: async () => ({ keyringId: randomBytes(16), epoch: 1 }) });
  await rejectsWith(foreign.get(recordKey(), 1), 'KEYRING_MISMATCH');
  assert.equal(foreign.lastError?.code, 'KEYRING_MISMATCH');
  assert.deepEqual(await newClient().askKeyring(), { keyringId, epoch: 1 });
});

test('HELLO tells who it is; a keyring without its epoch is refused, and the reverse', async () => {
  const wire = await Wire.open(servers.be.port);
  wire.request(OPCODE.HELLO, 1);
  const { fieldBytes } = await wire.frame();
  const fields = Fields.decode(fieldBytes);
  assert.match(`${fields.bytes(FIELD.AGENT)}`, /^enc-server-ts\/\d/);
  assert.equal(fields.u32(FIELD.RECORD_BYTES_MAX), 8 * 1024 * 1024);
  assert.equal(fields.bytes(FIELD.STORE_ID)?.length, 16);
  assert.deepEqual(fields.bytes(FIELD.KEYRING), keyringId);
  wire.request(OPCODE.HELLO, 3, [u32Field(FIELD.EPOCH, 1)]);
  assert.equal(statusOf(await wire.frame()), 'MISSING_FIELD');
  wire.request(OPCODE.HELLO, 4, [bytesField(FIELD.KEYRING, keyringId), u32Field(FIELD.EPOCH, 0)]);
  assert.equal(statusOf(await wire.frame()), 'INVALID_FIELD');
  wire.request(OPCODE.HELLO, 2, [bytesField(FIELD.KEYRING, keyringId)]);
  assert.equal(statusOf(await wire.frame()), 'MISSING_FIELD');
  wire.close();
});

test('a front end that has missed an epoch is refused, also where it is connected', async () => {
  const other = await startServers();
  const address = { host: '127.0.0.1', port: other.be.port };
  const { keyring } = await new BeClient({ address }).info();
  const id = Buffer.from(`${keyring}`, 'hex');
  const old = new BeClient({ address, keyring: async () => ({ keyringId: id, epoch: 1 }) });
  await old.put(recordKey(), value('x'));
  const young = new BeClient({ address, keyring: async () => ({ keyringId: id, epoch: 2 }) });
  await young.put(recordKey(), value('x'));
  await rejectsWith(old.put(recordKey(), value('x')), 'STALE_EPOCH');
  const late = new BeClient({ address, keyring: async () => ({ keyringId: id, epoch: 1 }) });
  await rejectsWith(late.put(recordKey(), value('x')), 'STALE_EPOCH');
  for (const client of [old, young, late]) client.close();
  await other.close();
});

test('a scan goes through all pages, in order', async () => {
  const client = newClient();
  const names = ['scan-a', 'scan-b', 'scan-c', 'scan-d', 'scan-e'];
  for (const name of names) await client.store(name, Buffer.from(name));
  const prefix = Buffer.from('\x02scan-');
  const found: string[] = [];
  let after: Buffer | undefined;
  let pages = 0;
  do {
    const page = await client.scan(prefix, after, 2);
    found.push(...page.items.map(({ key }) => key.toString('utf8', 1)));
    after = page.next;
    pages++;
  } while (after !== undefined);
  assert.deepEqual(found, names);
  assert.equal(pages, 3);
});

test('a page of long keys is cut before no frame can hold it', async () => {
  const client = newClient();
  const names = Array.from({ length: 600 }, (_, index) =>
    `long-${index + 1000}-`.padEnd(4096, 'k'),
  );
  await Promise.all(names.map((name) => client.store(name, Buffer.from('x'))));
  const prefix = Buffer.from('\x02long-');
  const first = await client.scan(prefix, undefined, 10_000);
  assert.ok(first.items.length > 200 && first.items.length < 300, `${first.items.length}`);
  let { next } = first;
  let count = first.items.length;
  while (next !== undefined) {
    const page = await client.scan(prefix, next, 10_000);
    count += page.items.length;
    next = page.next;
  }
  assert.equal(count, 600);
});

test('the items of a scan survive the wire, and a cut of them is seen', () => {
  const items = [0, 5].map((bytes) => ({
    key: randomBytes(27),
    head: randomBytes(bytes),
    revision: randomBytes(8),
    expiryMs: Number.MAX_SAFE_INTEGER,
    bodyBytes: 0xffff_ffff,
  }));
  const body = encodeScanItems(items);
  assert.deepEqual(decodeScanItems(body), items);
  assert.deepEqual(decodeScanItems(Buffer.alloc(0)), []);
  for (let end = 1; end < body.length; end++) {
    if (end === 2 + 27 + 8 + 14) continue;
    assert.throws(() => decodeScanItems(body.subarray(0, end)), { code: 'BAD_FRAME' });
  }
});

test('tokens: store, retrieve, only if absent, delete', async () => {
  const client = newClient();
  assert.equal((await client.store('token', Buffer.from('1'))).replaced, false);
  await rejectsWith(client.storeIfAbsent('token', Buffer.from('2')), 'CONFLICT');
  assert.equal((await client.retrieve(Buffer.from('token'))).toString(), '1');
  assert.equal(await client.delete('token'), true);
  assert.equal(await client.delete('token'), false);
  await rejectsWith(client.retrieve('token'), 'NOT_FOUND');
  await rejectsWith(client.store('', Buffer.from('1')), 'INVALID_ID');
  await rejectsWith(client.store('x'.repeat(4097), Buffer.from('1')), 'INVALID_ID');
});

test('opcodes of the front end, LIMIT 0 and an unknown prefix', async () => {
  const wire = await Wire.open(servers.be.port);
  wire.request(OPCODE.STORE, 1);
  assert.equal(statusOf(await wire.frame()), 'UNKNOWN_OPCODE');
  const prefix = bytesField(FIELD.PREFIX, Buffer.from([2]));
  wire.request(OPCODE.SCAN, 2, [prefix, u32Field(FIELD.LIMIT, 0)]);
  assert.equal(decodeScanItems((await wire.frame()).body).length, 1);
  wire.request(OPCODE.SCAN, 3, [bytesField(FIELD.PREFIX, Buffer.from('\x02no such'))]);
  assert.equal((await wire.frame()).body.length, 0);
  wire.close();
});

test('what is kept as it is has at most the bytes of a record', async () => {
  const client = newClient();
  const bytesMax = 8 * 1024 * 1024;
  await client.store('longest', Buffer.alloc(bytesMax));
  await rejectsWith(client.store('longer', Buffer.alloc(bytesMax + 1)), 'RECORD_TOO_LARGE');
  await rejectsWith(client.retrieve('longer'), 'NOT_FOUND');
});
