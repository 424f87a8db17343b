/**
 * Records stored through both servers, then opened by the second decoder. It gets no more than
 * what the back end gives out, the keyring file, and the record keys.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { KeyringKeeper } from '../../lib/fe/keeper.ts';
import { FeService } from '../../lib/fe/service.ts';
import { Budget } from '../../lib/net/budget.ts';
import { RequestContext } from '../../lib/net/request.ts';
import { OWN_SESSION } from '../../lib/net/session.ts';
import { limitsFor } from '../../lib/protocol/limits.ts';
import {
  type Entry,
  type Name,
  openRecord,
  readPseudonym,
  splitHead,
  unwrapKey,
} from '../helpers/second-decoder.ts';
import { type Keyring, readKeyring } from '../helpers/second-keyring.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const LIMITS = limitsFor();
const RECORDS = Buffer.of(1);
/** Fewer than there are records, so that a scan has several pages. */
const PAGE_ITEMS = 3;
const CALLERS_KEY = 2;
const KEPT = 4;

/** What a caller knows of a record. */
interface Kept {
  readonly record: Buffer;
  readonly flags: number;
  /** Absent where the server keeps it. */
  readonly key?: Buffer;
  readonly contentType?: string;
}

/** What the store holds of one. */
interface Value {
  readonly storeKey: Buffer;
  readonly head: Buffer;
  readonly body: Buffer;
  readonly expiryMs: number;
}

describe('records stored through both servers', () => {
  const expected = new Map<string, Kept>();
  let servers: TestServers;
  let keyring: Keyring;
  let values: Value[];

  before(async () => {
    servers = await startServers({ beServerConfigs: { store: 'level' } });
    await storeByClient(servers, expected);
    await storeByText(servers, expected);
    await storeByService(servers, expected);
    // What is read now was on disk.
    await servers.restartBe();
    keyring = readKeyring(await readFile(servers.config.feServerConfigs.keyring));
    values = await readValues(servers, keyring);
  });

  after(async () => await servers.close());

  it('open, with the keyring file and their keys alone', () => {
    assert.equal(values.length, expected.size);
    const found = new Set<string>();
    for (const { storeKey, head, body, expiryMs } of values) {
      const { sealedId, header } = splitHead(head);
      const name = readPseudonym(storeKey, sealedId, entryOf(keyring, storeKey));
      const kept = expected.get(titleOf(name));
      assert.ok(kept !== undefined, titleOf(name));
      const key = kept.key ?? unwrapKey(header, name, keyring.wrapEntries);
      const opened = openRecord(header, body, name, key);
      assert.ok(opened.record.equals(kept.record), titleOf(name));
      assert.equal(opened.flags, kept.flags);
      assert.equal(opened.expiryMs, expiryMs);
      assert.equal(opened.metadata.contentType, kept.contentType);
      found.add(titleOf(name));
    }
    assert.equal(found.size, expected.size);
  });

  it('do not open in the place of another', () => {
    const [one, other] = values as [Value, Value];
    const { sealedId, header } = splitHead(one.head);
    const entry = entryOf(keyring, one.storeKey);
    assert.throws(() => readPseudonym(other.storeKey, sealedId, entry), { code: 'ALTERED' });
    const name = readPseudonym(one.storeKey, sealedId, entry);
    const key = expected.get(titleOf(name))?.key ?? unwrapKey(header, name, keyring.wrapEntries);
    assert.throws(() => openRecord(header, other.body, name, key), { code: 'ALTERED' });
  });
});

/** Binary frames, small and bulk; keys that the client draws. */
async function storeByClient(servers: TestServers, expected: Map<string, Kept>): Promise<void> {
  const client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
  const names: Name[] = [
    nameOf('', 'alice'),
    nameOf('eu', 'alice'),
    { namespace: Buffer.alloc(255, 0xff), id: Buffer.alloc(1024) },
  ];
  const records = [Buffer.from('hello'), Buffer.alloc(0), randomBytes(200_000)];
  try {
    await client.store('alice', Buffer.from('replaced later'));
    await client.store('deleted', Buffer.from('gone'));
    await client.delete('deleted');
    for (const [index, name] of names.entries()) {
      const record = records[index] ?? Buffer.alloc(0);
      const { key } = await client.store(name.id, record, { namespace: name.namespace });
      expected.set(titleOf(name), { record, key, flags: CALLERS_KEY });
    }
  } finally {
    client.close();
  }
}

/** A line of text; the key is the one that the server drew. */
async function storeByText(servers: TestServers, expected: Map<string, Kept>): Promise<void> {
  const socket = connect(servers.fe.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.end('STORE bob hi there\nQUIT\n');
  await once(socket, 'close');
  const [line = ''] = Buffer.concat(chunks).toString().split('\n');
  assert.match(line, /^[0-9a-f]{64}$/);
  const key = Buffer.from(line, 'hex');
  expected.set(titleOf(nameOf('', 'bob')), { record: Buffer.from('hi there'), key, flags: 0 });
}

/** What no dialect asks for yet: a second front end with the same keyring keeps a key. */
async function storeByService(servers: TestServers, expected: Map<string, Kept>): Promise<void> {
  const keeper = new KeyringKeeper(servers.config.feServerConfigs.keyring, async () => undefined);
  const be = beClient(servers, () => keeper.open());
  const budget = new Budget(LIMITS.bytesInFlightMax);
  const { recordBytesMax } = LIMITS;
  const open = { writePolicy: 'open', uniformErrors: false } as const;
  const service = new FeService({ be, keeper, budget, recordBytesMax, ...open });
  const record = Buffer.from('<p>kept</p>');
  const contentType = 'text/html; charset=utf-8';
  const name = nameOf('web', 'page');
  const typed = nameOf('web', 'typed');
  const key = drawKey();
  try {
    await keeper.open();
    const context = new RequestContext(OWN_SESSION, LIMITS.requestTimeoutMs);
    await service.store({ name, record, kept: true, contentType }, context);
    await service.store({ name: typed, record, key, contentType }, context);
  } finally {
    be.close();
  }
  expected.set(titleOf(name), { record, contentType, flags: KEPT });
  expected.set(titleOf(typed), { record, contentType, key, flags: CALLERS_KEY });
}

/** All records that the back end has, by its wire. */
async function readValues(servers: TestServers, keyring: Keyring): Promise<Value[]> {
  const client = beClient(servers, async () => keyring);
  const values: Value[] = [];
  try {
    let after: Buffer | undefined;
    do {
      const page = await client.scan(RECORDS, after, PAGE_ITEMS);
      for (const { key, head, bodyBytes } of page.items) {
        const { body, expiryMs, ...found } = await client.get(key, bodyBytes);
        assert.ok(body !== undefined);
        assert.deepEqual(found.head, head);
        values.push({ storeKey: key, head, body, expiryMs });
      }
      after = page.next;
    } while (after !== undefined);
  } finally {
    client.close();
  }
  return values;
}

function beClient(servers: TestServers, keyring: () => Promise<Keyring>): BeClient {
  return new BeClient({ address: { host: '127.0.0.1', port: servers.be.port }, keyring });
}

/** The entry whose number is in a store key. */
function entryOf(keyring: Keyring, storeKey: Buffer): Entry {
  const entry = keyring.entries.find(({ number }) => number === storeKey.readUInt16BE(1));
  assert.ok(entry !== undefined);
  return entry;
}

function nameOf(namespace: string, id: string): Name {
  return { namespace: Buffer.from(namespace), id: Buffer.from(id) };
}

function titleOf({ namespace, id }: Name): string {
  return `${namespace.toString('hex')}/${id.toString('hex')}`;
}
