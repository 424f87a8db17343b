/** The keyring's life through both real servers, with all that can stand in its way. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { decodeHeader } from '../../lib/crypto/envelope.ts';
import { decodeHead, encodeHead } from '../../lib/crypto/head.ts';
import { type Keyring, loadKeyring } from '../../lib/crypto/keyring.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { Ring } from '../../lib/fe/ring.ts';
import { Rotation } from '../../lib/fe/rotation.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { ALWAYS } from '../../lib/store/store.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http, httpJson } from '../helpers/http.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { until } from '../helpers/wire.ts';

const WAIT_MS = 10_000;
const quiet = () => undefined;

let servers: TestServers;
let rotation: Rotation;
let client: FeClient;
let path: string;

before(async () => {
  servers = await startServers();
  path = servers.config.feServerConfigs.keyring;
  rotation = new Rotation({ path, link: link() });
  client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port }, attemptsMax: 1 });
});
after(async () => {
  client.close();
  await servers.close();
});

function link() {
  return { address: { host: '127.0.0.1', port: servers.be.port }, timeoutMs: WAIT_MS };
}

/** What lies under an entry of the keyring. */
async function under(number: number) {
  const keyring = (await loadKeyring(path)) as Keyring;
  const be = new BeClient({ ...link(), keyring: async () => keyring });
  try {
    const prefix = Buffer.of(1, number >> 8, number & 0xff);
    return (await be.scan(prefix, undefined, 1_000, { epoch: keyring.epoch })).items;
  } finally {
    be.close();
  }
}

async function get(route: string): Promise<unknown> {
  return JSON.parse((await http(servers.fe.port, 'GET', route)).body.toString());
}

/** In a rotation, the IDs under the old entry come first, on pages of their own. */
async function allIds(): Promise<string[]> {
  const ids: string[] = [];
  let page = await client.list({});
  for (; page.next !== undefined; page = await client.list({ after: page.next })) {
    ids.push(...page.ids.map(String));
  }
  return [...ids, ...page.ids.map(String)];
}

async function rotate(): Promise<void> {
  await rotation.add();
  await rotation.activate(WAIT_MS, quiet);
}

describe('a keyring that is rotated', () => {
  it('finds everything at every step, and leaves nothing under the retired entry', async () => {
    const keys = new Map<string, Buffer>();
    const sizes = [0, 10, 5_000, 200_000];
    for (const [index, size] of sizes.entries()) {
      keys.set(`id ${index}`, (await client.store(`id ${index}`, randomBytes(size))).key);
    }
    const posted = await httpJson(servers.fe.port, 'POST', '/data', { id: 7, data: 'kept' });
    assert.equal(posted.status, 200);
    const once = await client.store('once', Buffer.from('read me'), { once: true });
    const counts: number[] = [];
    const allThere = async () => {
      for (const [id, key] of keys) await client.retrieve(id, key);
      assert.deepEqual(await get('/data/7'), { id: 7, data: 'kept' });
      assert.deepEqual(await get('/data'), [7]);
      counts.push((await under(1)).length);
    };
    await allThere();
    await rotation.add();
    await allThere();
    await rotation.activate(WAIT_MS, quiet);
    await allThere();
    await rejectsWith(rotation.retire(), 'CONFLICT');
    // Written, deleted, looked at and read in the middle of it.
    const { revision } = await client.head('id 0');
    const changed = await client.store('id 0', Buffer.from('new'), { ifRevision: revision });
    assert.equal(changed.replaced, true);
    keys.set('id 0', changed.key);
    assert.equal(await client.delete('id 1'), true);
    assert.equal(await client.delete('id 1'), false);
    await rejectsWith(client.retrieve('id 1', keys.get('id 1') as Buffer), 'NOT_FOUND');
    keys.set('id 1', (await client.store('id 1', Buffer.from('again'), { ifAbsent: true })).key);
    await rejectsWith(client.store('id 1', Buffer.from('no'), { ifAbsent: true }), 'CONFLICT');
    const told: number[] = [];
    const { moved, failed } = await rotation.rewrap({ progress: (done) => told.push(done) });
    assert.deepEqual(failed, []);
    assert.equal(told.length, moved);
    await allThere();
    await rotation.retire();
    await allThere();
    assert.equal(`${(await client.retrieve('once', once.key)).record}`, 'read me');
    await rejectsWith(client.retrieve('once', once.key), 'ALREADY_READ');
    assert.ok((counts[0] ?? 0) > 0);
    assert.deepEqual(counts.slice(3), [0, 0]);
    for (const { head } of await under(2)) {
      assert.notEqual(decodeHeader(decodeHead(head).header).wrapKeyNumber, 1);
    }
  });

  it('keeps the revision of a moved record, and the time that ends it', async (t) => {
    const expiryMs = Date.now() + 3_600_000;
    await client.store('timed', Buffer.from('x'), { expiryMs });
    const before = await client.head('timed');
    await rotate();
    await rotation.rewrap({});
    assert.deepEqual(await client.head('timed'), before);
    // The store keeps it longer now; to whoever asks it has ended, with a wrong key as with the right.
    const endsMs = Date.now() + 60_000;
    const ended = await client.store('ended', Buffer.from('x'), { expiryMs: endsMs });
    t.mock.timers.enable({ apis: ['Date'], now: endsMs + 1 });
    await rejectsWith(client.retrieve('ended', Buffer.alloc(32, 1)), 'NOT_FOUND');
    await rejectsWith(client.retrieve('ended', ended.key), 'NOT_FOUND');
    const listed = await allIds();
    assert.deepEqual([listed.includes('timed'), listed.includes('ended')], [true, false]);
    const condition = { ifRevision: ended.revision };
    await rejectsWith(client.store('ended', Buffer.from('y'), condition), 'CONFLICT');
    await client.store('timed later', Buffer.from('y'), { expiryMs });
    await rotation.rewrap({});
    await rotation.retire();
    assert.equal((await client.head('timed later')).expiryMs, expiryMs);
    const timed = (await under(3)).filter(
      ({ head }) => decodeHeader(decodeHead(head).header).expiryMs === expiryMs,
    );
    assert.deepEqual(
      timed.map((item) => item.expiryMs),
      [expiryMs, expiryMs],
    );
  });

  it('lets a damaged record be replaced and deleted, as ever, while graves may be met', async () => {
    /** All of the head, or only the envelope's header in it. */
    const damage = async (id: string, inHeader = false) => {
      await client.store(id, Buffer.from('x'));
      const keyring = (await loadKeyring(path)) as Keyring;
      const be = new BeClient({ ...link(), keyring: async () => keyring });
      const name = { namespace: Buffer.alloc(0), id: Buffer.from(id) };
      const { storeKey, sealedId } = new Ring(keyring).active.seal(name);
      const head = inHeader ? encodeHead(sealedId, Buffer.alloc(68, 9)) : Buffer.of(1);
      try {
        await be.put(storeKey, { head, body: Buffer.alloc(0), expiryMs: 0 }, ALWAYS);
      } finally {
        be.close();
      }
      await rejectsWith(client.head(id), 'ALTERED');
    };
    await damage('damaged');
    assert.equal((await client.store('damaged', Buffer.from('y'))).replaced, true);
    await damage('damaged');
    // The sweep passes it by.
    await rotation.retire();
    await rejectsWith(client.store('damaged', Buffer.from('y'), { ifAbsent: true }), 'CONFLICT');
    assert.equal(await client.delete('damaged'), true);
    assert.equal(await client.delete('damaged'), false);
    // Under the old entry, too, where a record is moved before its name is written.
    await damage('damaged');
    await damage('damaged too', true);
    await rotate();
    // A move by itself leaves both where they are.
    const { failed } = await rotation.rewrap({});
    assert.deepEqual(
      failed.map(({ code }) => code),
      ['ALTERED', 'ALTERED'],
    );
    await rejectsWith(rotation.retire(), 'CONFLICT');
    await rejectsWith(client.store('damaged too', Buffer.from('y'), { ifAbsent: true }), 'ALTERED');
    assert.equal((await client.store('damaged', Buffer.from('y'))).replaced, true);
    assert.equal(await client.delete('damaged too'), true);
    await rotation.rewrap({});
    await rotation.retire();
  });

  it('moves no faster than it is told', async () => {
    for (let index = 0; index < 10; index++) await client.store(`slow ${index}`, Buffer.from('x'));
    await rotate();
    const sinceMs = Date.now();
    const { moved } = await rotation.rewrap({ ratePerSecond: 40 });
    assert.ok(moved >= 10);
    assert.ok(Date.now() - sinceMs >= ((moved - 1) * 1_000) / 40 - 50);
    await rotation.retire();
  });

  it('takes each step once, and says which is next', async () => {
    await rejectsWith(rotation.activate(WAIT_MS, quiet), 'CONFLICT');
    await rejectsWith(rotation.rewrap({}), 'CONFLICT');
    // What an earlier attempt may have left is looked for again.
    const { epoch } = await rotation.retire();
    assert.equal((await rotation.add()).epoch, epoch + 1);
    await rejectsWith(rotation.add(), 'CONFLICT');
  });
});

describe('what stands in the way of a rotation', () => {
  it('is a front end that does not know the new entry: it is waited for, then told', async (t) => {
    const copy = `${servers.folder}/other-keyring.json`;
    await copyFile(path, copy);
    const { config } = servers;
    const stale = await startFe(
      {
        ...config,
        feServerConfigs: { ...config.feServerConfigs, keyring: copy },
        beClientConfigs: {
          ...config.beClientConfigs,
          serverAddr: `127.0.0.1:${servers.be.port}`,
        },
      },
      silentLog,
    );
    // Here, as what stays open if this test fails keeps the process.
    t.after(() => stale.close());
    const address = { host: '127.0.0.1', port: stale.port };
    const other = new FeClient({ address, attemptsMax: 1 });
    t.after(() => other.close());
    const { key } = await client.store('both', Buffer.from('see it'));
    await other.retrieve('both', key);
    // One step in the file of the first alone: the pending entry is activated in the second's.
    const inUse = await readFile(path);
    await rotation.activate(WAIT_MS, quiet);
    await rejectsWith(other.retrieve('both', key), 'STALE_EPOCH');
    await client.retrieve('both', key);
    const rotated = await readFile(path);
    assert.notDeepEqual(rotated, inUse);
    await writeFile(copy, rotated);
    await other.retrieve('both', key);
    await rotation.rewrap({});
    await rotation.retire();
    await writeFile(copy, await readFile(path));
    await other.retrieve('both', key);
    await rotation.add();
    // Its connections stay at the older epoch while it does not load the newer file.
    const waited: number[] = [];
    const words = await rejectsWith(
      rotation.activate(1_200, (connections) => waited.push(connections)),
      'CONFLICT',
    );
    assert.match(words.message, /do not know epoch/);
    assert.ok(waited.length > 0);
    await writeFile(copy, await readFile(path));
    await rotation.activate(WAIT_MS, quiet);
    await writeFile(copy, await readFile(path));
    await until(async () => (await other.retrieve('both', key)) !== undefined);
    await rotation.rewrap({});
    await rotation.retire();
  });

  it('is an older copy of the keyring: nothing is added to it, and no server starts', async () => {
    const copy = `${servers.folder}/older-keyring.json`;
    await copyFile(path, copy);
    await rotate();
    const older = new Rotation({ path: copy, link: link() });
    await rejectsWith(older.add(), 'STALE_EPOCH');
    assert.equal((await older.read()).epoch + 2, (await rotation.read()).epoch);
    const feServerConfigs = { ...servers.config.feServerConfigs, keyring: copy };
    const beClientConfigs = {
      ...servers.config.beClientConfigs,
      serverAddr: `127.0.0.1:${servers.be.port}`,
    };
    const config = { ...servers.config, feServerConfigs, beClientConfigs };
    await rejectsWith(startFe(config, silentLog), 'STALE_EPOCH');
    await rotation.rewrap({});
    await rotation.retire();
  });

  it('is another keyring, none, or a back end that is away', async (t) => {
    const theirs = await startServers();
    t.after(() => theirs.close());
    const other = new Rotation({ path: theirs.config.feServerConfigs.keyring, link: link() });
    await rejectsWith(other.add(), 'KEYRING_MISMATCH');
    await rm(theirs.config.feServerConfigs.keyring);
    await rejectsWith(other.add(), 'KEYRING_MISSING');
    const nowhere = { address: { host: '127.0.0.1', port: theirs.be.port }, timeoutMs: 500 };
    await theirs.close();
    const { epoch } = await rotation.read();
    await rejectsWith(new Rotation({ path, link: nowhere }).add(), 'UNAVAILABLE');
    assert.equal((await rotation.read()).epoch, epoch);
  });

  it('is a file of the keyring that is broken: what was loaded is used on', async () => {
    const good = await readFile(path);
    const { key } = await client.store('still', Buffer.from('there'));
    await writeFile(path, '{ "format": ');
    await rejectsWith(rotation.add(), 'KEYRING_DAMAGED');
    await client.retrieve('still', key);
    const newer = JSON.parse(good.toString('utf8'));
    await writeFile(path, JSON.stringify({ ...newer, version: 2 }));
    const error = await rejectsWith(rotation.add(), 'KEYRING_DAMAGED');
    assert.match(`${error.message} ${error.hint}`, /newer release/);
    await client.retrieve('still', key);
    await writeFile(path, good);
    await rotate();
    await client.retrieve('still', key);
  });
});
