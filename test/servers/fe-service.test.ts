/** The front end's operations, through its client library and both real servers. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { decodeError } from '../../lib/protocol/error-reply.ts';
import { bytesField, Fields, u32Field } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { ALWAYS, type ScanItem } from '../../lib/store/store.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { statusOf, Wire } from '../helpers/wire.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const RECORDS = Buffer.from([1]);

let servers: TestServers;
let client: FeClient;
/** Holds the same keyring's public ID as the front end, so it may touch what is stored. */
let intruder: BeClient;

before(async () => {
  servers = await startServers();
  client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
  const info = await client.info();
  const keyring = { keyringId: Buffer.from(`${info['keyring']}`, 'hex'), epoch: 1 };
  intruder = new BeClient({
    address: { host: '127.0.0.1', port: servers.be.port },
    keyring: async () => keyring,
  });
});
after(async () => {
  client.close();
  intruder.close();
  await servers.close();
});

/** The one record of the store, as whoever has stolen it sees it. */
async function onlyItem(): Promise<ScanItem> {
  const { items } = await intruder.scan(RECORDS, undefined, 10);
  assert.equal(items.length, 1);
  return items[0] as ScanItem;
}

async function emptyStore(): Promise<void> {
  const { items } = await intruder.scan(RECORDS, undefined, 10_000);
  for (const { key } of items) await intruder.remove(key);
}

test('store, retrieve and delete; every write says what was there', async () => {
  const first = await client.store('alice', Buffer.from('one'));
  assert.equal(first.key.length, 32);
  assert.equal(first.replaced, false);
  const second = await client.store('alice', Buffer.from('two'));
  assert.equal(second.replaced, true);
  assert.notDeepEqual(second.key, first.key);
  const { record, revision } = await client.retrieve('alice', second.key);
  assert.equal(`${record}`, 'two');
  assert.deepEqual(revision, second.revision);
  await rejectsWith(client.retrieve('alice', first.key), 'WRONG_KEY');
  assert.equal(await client.delete('alice'), true);
  assert.equal(await client.delete('alice'), false);
  await rejectsWith(client.retrieve('alice', second.key), 'NOT_FOUND');
});

test('a key that is given is taken, and stays the only secret', async () => {
  const key = randomBytes(32);
  const stored = await client.store(Buffer.from('own'), Buffer.from('x'), { key });
  assert.deepEqual(stored.key, key);
  assert.equal(`${(await client.retrieve('own', new Uint8Array(key))).record}`, 'x');
  await rejectsWith(
    client.store('own', Buffer.from('y'), { key: Buffer.alloc(32, 1) }),
    'WEAK_KEY',
  );
  await rejectsWith(client.store('own', Buffer.from('y'), { key: randomBytes(31) }), 'INVALID_KEY');
  assert.equal(`${(await client.retrieve('own', key)).record}`, 'x');
});

test('the server draws a key where none is sent', async () => {
  const wire = await Wire.open(servers.fe.port);
  const id = bytesField(FIELD.ID, Buffer.from('drawn'));
  wire.request(OPCODE.STORE, 1, [id], 'x');
  const reply = Fields.decode((await wire.frame()).fieldBytes);
  const key = reply.bytes(FIELD.KEY) ?? Buffer.alloc(0);
  assert.equal(`${(await client.retrieve('drawn', key)).record}`, 'x');
  wire.close();
});

test('only if absent', async () => {
  const { key } = await client.store('absent', Buffer.from('x'), { ifAbsent: true });
  await rejectsWith(client.store('absent', Buffer.from('y'), { ifAbsent: true }), 'CONFLICT');
  assert.equal(`${(await client.retrieve('absent', key)).record}`, 'x');
});

test('the same ID in two namespaces is two records', async () => {
  const one = await client.store('ns', Buffer.from('1'), { namespace: 'one' });
  const two = await client.store('ns', Buffer.from('2'), { namespace: Buffer.from('two') });
  assert.equal(`${(await client.retrieve('ns', one.key, { namespace: 'one' })).record}`, '1');
  assert.equal(`${(await client.retrieve('ns', two.key, { namespace: 'two' })).record}`, '2');
  await rejectsWith(client.retrieve('ns', one.key, { namespace: 'two' }), 'WRONG_KEY');
  await rejectsWith(client.retrieve('ns', one.key), 'NOT_FOUND');
  await rejectsWith(
    client.store('ns', Buffer.from('1'), { namespace: 'n'.repeat(256) }),
    'INVALID_NAMESPACE',
  );
});

test('IDs of 1 to 1024 bytes, whatever the bytes', async () => {
  for (const id of [Buffer.from([0]), Buffer.alloc(1024, 0xff), 'naïve']) {
    const { key } = await client.store(id, Buffer.from('x'));
    assert.equal(`${(await client.retrieve(id, key)).record}`, 'x');
  }
  await rejectsWith(client.store('', Buffer.from('x')), 'INVALID_ID');
  await rejectsWith(client.store('x'.repeat(1025), Buffer.from('x')), 'INVALID_ID');
});

for (const bytes of [
  0,
  1,
  64 * KIB - 19,
  64 * KIB - 18,
  64 * KIB - 17,
  64 * KIB,
  64 * KIB + 1,
  8 * MIB,
]) {
  test(`a record of ${bytes} bytes comes back as it was`, async () => {
    const record = randomBytes(bytes);
    const { key } = await client.store('sized', record);
    assert.ok((await client.retrieve('sized', key)).record.equals(record));
  });
}

test('a record above the maximum is refused', async () => {
  const large = client.store('large', Buffer.alloc(8 * MIB + 1));
  assert.match((await rejectsWith(large, 'RECORD_TOO_LARGE')).message, /8388609/);
  // Not sent at all: it would end the connection for all that is under way there.
  const [larger] = await Promise.allSettled([
    client.store('large', Buffer.alloc(9 * MIB)),
    ...Array.from({ length: 20 }, () => client.ping()),
  ]);
  await rejectsWith(Promise.reject((larger as PromiseRejectedResult).reason), 'RECORD_TOO_LARGE');
});

test('what is larger than its asker accepts is LARGE with its size', async () => {
  const { key } = await client.store('accept', Buffer.alloc(100_000));
  const wire = await Wire.open(servers.fe.port);
  const fields = [bytesField(FIELD.ID, Buffer.from('accept')), bytesField(FIELD.KEY, key)];
  wire.request(OPCODE.RETRIEVE, 1, [...fields, u32Field(FIELD.ACCEPT_BYTES, 99_999)]);
  const error = decodeError(await wire.frame());
  assert.deepEqual([error.code, error.sizeBytes], ['LARGE', 100_000]);
  wire.request(OPCODE.RETRIEVE, 2, [...fields, u32Field(FIELD.ACCEPT_BYTES, 100_000)]);
  assert.equal(statusOf(await wire.frame()), 'OK');
  wire.close();
});

test('deleting with a key: the wrong one changes nothing', async () => {
  const { key } = await client.store('del', Buffer.from('x'));
  await rejectsWith(client.delete('del', { key: randomBytes(32) }), 'WRONG_KEY');
  assert.equal(`${(await client.retrieve('del', key)).record}`, 'x');
  assert.equal(await client.delete('del', { key }), true);
  assert.equal(await client.delete('del', { key }), false);
});

test('deleting with a key never deletes what was stored since', async () => {
  for (let round = 0; round < 20; round++) {
    const { key } = await client.store('race', Buffer.from('old'));
    const [deleted, stored] = await Promise.all([
      client.delete('race', { key }).catch((error) => error.code),
      client.store('race', Buffer.from('new')),
    ]);
    assert.ok([true, false, 'WRONG_KEY'].includes(deleted), `${deleted}`);
    assert.equal(`${(await client.retrieve('race', stored.key)).record}`, 'new');
  }
});

test('a record that the back end does not take is refused, and nothing else suffers', async () => {
  const limits = {
    feServerConfigs: { recordBytesMax: 4 * MIB },
    beServerConfigs: { recordBytesMax: MIB },
  };
  const uneven = await startServers(limits);
  const one = new FeClient({
    address: { host: '127.0.0.1', port: uneven.fe.port },
    attemptsMax: 1,
  });
  try {
    const key = randomBytes(32);
    const large = Array.from({ length: 6 }, (_none, index) =>
      one.store(`large ${index}`, Buffer.alloc(MIB), { key }),
    );
    const refused = rejectsWith(one.store('larger', Buffer.alloc(2 * MIB)), 'RECORD_TOO_LARGE');
    await Promise.all([...large, refused]);
    assert.equal((await one.retrieve('large 5', key)).record.length, MIB);
  } finally {
    one.close();
    await uneven.close();
  }
});

test('a record replaced by larger and smaller ones is always one of them', async () => {
  const key = randomBytes(32);
  const sizes = [10, 70 * KIB, 300 * KIB, 1_000];
  await client.store('grow', Buffer.alloc(10, 1), { key });
  const writer = async () => {
    for (let round = 0; round < 24; round++) {
      const bytes = sizes[round % sizes.length] ?? 0;
      await client.store('grow', Buffer.alloc(bytes, 1), { key });
    }
  };
  const reader = async () => {
    for (let round = 0; round < 24; round++) {
      const { record } = await client.retrieve('grow', key);
      assert.ok(sizes.includes(record.length), `${record.length}`);
    }
  };
  await Promise.all([writer(), reader(), reader()]);
});

/** Whether the time is there at which a record ends: after the sealed ID and four bytes. */
function isOfExpiry(head: Buffer, at: number): boolean {
  const expiryAt = 2 + head.readUInt16BE(0) + 4;
  return at >= expiryAt && at < expiryAt + 8;
}

test('every altered byte of the body is ALTERED; no altered head opens', async () => {
  await emptyStore();
  const { key } = await client.store('alter', Buffer.from('hello'));
  const item = await onlyItem();
  const { body, head } = await intruder.get(item.key, MIB);
  const bytes = body ?? Buffer.alloc(0);
  for (let at = 0; at < bytes.length; at += 5) {
    await intruder.put(item.key, { head, body: flipped(bytes, at), expiryMs: 0 }, ALWAYS);
    await rejectsWith(client.retrieve('alter', key), 'ALTERED');
  }
  const seen = new Set<string>();
  for (let at = 0; at < head.length; at += 7) {
    await intruder.put(item.key, { head: flipped(head, at), body: bytes, expiryMs: 0 }, ALWAYS);
    const code = await client.retrieve('alter', key).then(
      () => 'opened',
      (error) => error.code,
    );
    // An end that was put into the past is an end: whoever has the store can withhold, too.
    if (code !== 'NOT_FOUND' || !isOfExpiry(head, at)) seen.add(code);
  }
  // The sealed ID is for listing; it is not looked at when a record is opened.
  assert.ok(seen.delete('ALTERED') && seen.delete('WRONG_KEY'), [...seen].join());
  assert.deepEqual(
    [...seen].filter((code) => code !== 'opened'),
    [],
  );
  for (const cut of [Buffer.alloc(0), head.subarray(1), head.subarray(0, -1)]) {
    await intruder.put(item.key, { head: cut, body: bytes, expiryMs: 0 }, ALWAYS);
    // Nothing was proven of the key, not even that it is the right one.
    const { hint } = await rejectsWith(client.retrieve('alter', randomBytes(32)), 'ALTERED');
    assert.equal(hint, 'the stored bytes were changed; restore them from a backup');
    const { message } = await rejectsWith(client.list({}), 'ALTERED');
    assert.match(message, new RegExp(`under the store key ${item.key.toString('hex')}$`));
  }
  await intruder.put(item.key, { head, body: bytes, expiryMs: 0 }, ALWAYS);
  assert.equal(`${(await client.retrieve('alter', key)).record}`, 'hello');
});

test('a record moved under the name of another opens for nobody', async () => {
  await emptyStore();
  const alice = await client.store('alice', Buffer.from('of alice'));
  const item = await onlyItem();
  const stolen = await intruder.get(item.key, MIB);
  await client.store('bob', Buffer.from('of bob'));
  const { items } = await intruder.scan(RECORDS, undefined, 10);
  const bob = items.find(({ key }) => !key.equals(item.key)) as ScanItem;
  const value = { head: stolen.head, body: stolen.body ?? Buffer.alloc(0), expiryMs: 0 };
  await intruder.put(bob.key, value, ALWAYS);
  await rejectsWith(client.retrieve('bob', alice.key), 'WRONG_KEY');
});

test('what is stored holds neither ID nor record nor key', async () => {
  await emptyStore();
  const record = Buffer.from('a very secret record');
  const { key } = await client.store('carol-the-user', record);
  const item = await onlyItem();
  const { body, head } = await intruder.get(item.key, MIB);
  const all = Buffer.concat([item.key, head, body ?? Buffer.alloc(0)]);
  for (const secret of [record, Buffer.from('carol-the-user'), key]) {
    for (const encoding of ['latin1', 'hex', 'base64'] as const) {
      assert.ok(!all.includes(Buffer.from(secret.toString(encoding), 'latin1')));
    }
  }
});

test('HELLO and INFO tell facts of the server', async () => {
  const wire = await Wire.open(servers.fe.port);
  wire.request(OPCODE.HELLO, 1, [bytesField(FIELD.AGENT, Buffer.from('a test'))]);
  const fields = Fields.decode((await wire.frame()).fieldBytes);
  assert.equal(fields.u32(FIELD.RECORD_BYTES_MAX), 8 * MIB);
  assert.match(`${fields.bytes(FIELD.AGENT)}`, /^enc-server-ts\//);
  wire.close();
  const info = await client.info();
  assert.deepEqual([info['server'], info['ok'], info['epoch']], ['fe', true, 1]);
  await client.ping();
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
