/** One back end's store into another's, through the wire. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { StoreCopy } from '../../lib/be/copy.ts';
import { startBe } from '../../lib/be/server.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import type { RunningServer } from '../../lib/net/port.ts';
import { openStore } from '../../lib/store/open.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startServers, type TestServers, temporaryFolder, testConfig } from '../helpers/servers.ts';
import { recordKey, value } from '../helpers/store-values.ts';

const untold = () => undefined;
const at = (port: number) => ({ address: { host: '127.0.0.1', port } });

let servers: TestServers;
let target: RunningServer;
let client: FeClient;
let tokens: BeClient;
const keys = new Map<string, Buffer>();
const records = new Map<string, Buffer>();

beforeEach(async () => {
  servers = await startServers();
  target = await startBe(await testConfig(servers.folder), silentLog);
  client = new FeClient(at(servers.fe.port));
  tokens = new BeClient(at(servers.be.port));
  records.clear();
  for (let index = 0; index < 700; index++) records.set(`id ${index}`, Buffer.from(`${index}`));
  records.set('large', randomBytes(3 * 1024 * 1024));
  records.set('empty', Buffer.alloc(0));
  for (const [id, record] of records) keys.set(id, (await client.store(id, record)).key);
  await client.store('ends', Buffer.from('x'), { expiryMs: Date.now() + 3_600_000 });
  await tokens.store('a token', Buffer.from('opaque'));
  await tokens.store('b', Buffer.from(''));
});
afterEach(async () => {
  client.close();
  tokens.close();
  await target.close();
  await servers.close();
});

async function withCopy<T>(use: (copy: StoreCopy) => Promise<T>): Promise<T> {
  const copy = await StoreCopy.open(at(servers.be.port), at(target.port));
  try {
    return await use(copy);
  } finally {
    copy.close();
  }
}

it('a front end finds everything in the copy, which is verified', async () => {
  const all = records.size + 3;
  await withCopy(async (copy) => {
    assert.deepEqual(await copy.copy(untold), { copied: all, known: 0, conflicts: 0 });
    const verified = await copy.verify(untold);
    assert.deepEqual([verified.same, verified.different, verified.targetItems], [all, 0, all]);
    assert.match(verified.digest, /^[0-9a-f]{64}$/);
    // Again, as after an interruption.
    assert.deepEqual(await copy.copy(untold), { copied: 0, known: all, conflicts: 0 });
    assert.equal((await copy.verify(untold)).digest, verified.digest);
  });
  const link = { ...servers.config.beClientConfigs, serverAddr: `127.0.0.1:${target.port}` };
  const fe = await startFe({ ...servers.config, beClientConfigs: link }, silentLog);
  const other = new FeClient(at(fe.port));
  try {
    for (const [id, record] of records) {
      const found = await other.retrieve(id, keys.get(id) as Buffer);
      assert.ok(found.record.equals(record), id);
    }
    assert.deepEqual(await other.head('ends'), await client.head('ends'));
  } finally {
    other.close();
    await fe.close();
  }
});

it('what is another in the target is left alone, and told', async () => {
  const others = new BeClient(at(target.port));
  await others.store('b', Buffer.from('another'));
  await others.store('more', Buffer.from('x'));
  await withCopy(async (copy) => {
    const { conflicts } = await copy.copy(untold);
    assert.equal(conflicts, 1);
    const { different, same, targetItems, added } = await copy.verify(untold);
    assert.deepEqual([different, targetItems, added], [1, same + 2, 1]);
  });
  assert.equal(`${await others.retrieve('b')}`, 'another');
  others.close();
});

it('what ends between the two sides is no difference', async () => {
  await withCopy((copy) => copy.copy(untold));
  const all = records.size + 4;
  const expiryMs = Date.now() + 3_000;
  const ending = { ...value('x', expiryMs), revision: Buffer.alloc(8, 1) };
  const others = new BeClient(at(target.port));
  for (const be of [tokens, others]) await be.put(Buffer.from('\x02ending'), ending);
  others.close();
  await withCopy(async (copy) => {
    const { same, different, targetItems, added } = await copy.verify((done) => {
      // The servers are in this process, and stand still as well.
      while (done === all && Date.now() <= expiryMs);
    });
    assert.deepEqual([same, different, targetItems, added], [all, 0, all - 1, 0]);
  });
});

it('what was replaced in the source since is a difference', async () => {
  await withCopy(async (copy) => {
    await copy.copy(untold);
    await client.store('id 1', Buffer.from('new'));
    assert.equal((await copy.verify(untold)).different, 1);
    assert.equal((await copy.copy(untold)).conflicts, 1);
  });
});

it('records without a keyring are not passed over', async () => {
  const tokensOnly = await StoreCopy.open(at(target.port), at(servers.be.port));
  tokensOnly.close();
  const folder = await temporaryFolder();
  const store = await openStore({ kind: 'level', folder: join(folder, 'be') });
  await store.put(recordKey(1), value('x'));
  await store.close();
  const section = { store: 'level' } as const;
  const be = await startBe(await testConfig(folder, { beServerConfigs: section }), silentLog);
  const opening = StoreCopy.open(at(be.port), at(target.port));
  // A back end of an older release answers the same where it has no records.
  await assert.rejects(opening, {
    code: 'NOT_ALLOWED',
    message: /no keyring, and may have records/,
  });
  await be.close();
});

it('a target of another keyring, and none at all, are refused', async () => {
  const stranger = await startServers();
  const other = new FeClient(at(stranger.fe.port));
  await other.store('x', Buffer.from('y'));
  await rejectsWith(StoreCopy.open(at(servers.be.port), at(stranger.be.port)), 'KEYRING_MISMATCH');
  other.close();
  await stranger.close();
  await rejectsWith(StoreCopy.open(at(servers.be.port), at(1)), 'UNAVAILABLE');
});
