/** Backups through the wire: under load, of a snapshot that ends, and back into a store. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFile, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { restoreBackup, verifyBackup } from '../../lib/backup/read.ts';
import { writeBackup } from '../../lib/backup/write.ts';
import { BeClient } from '../../lib/be/client.ts';
import { startBe } from '../../lib/be/server.ts';
import { Snapshots } from '../../lib/be/snapshots.ts';
import { drawKey, FeClient } from '../../lib/fe/client.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { Budget } from '../../lib/net/budget.ts';
import type { RunningServer } from '../../lib/net/port.ts';
import { ALWAYS, TABLE } from '../../lib/store/store.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startServers, type TestServers, temporaryFolder, testConfig } from '../helpers/servers.ts';
import { until } from '../helpers/wire.ts';

const untold = () => undefined;
const at = (port: number) => ({ address: { host: '127.0.0.1', port } });
const SECRET = { kind: 'key', key: randomBytes(32) } as const;

let servers: TestServers;
let client: FeClient;
let file: string;

beforeEach(async () => {
  servers = await startServers({ beServerConfigs: { store: 'level' } });
  client = new FeClient(at(servers.fe.port));
  file = join(servers.folder, 'backup');
});
afterEach(async () => {
  client.close();
  await servers.close();
});

/** @param pauseMs how long each part of the file takes to be written */
async function backUp(secret: Parameters<typeof writeBackup>[1] = SECRET, pauseMs = 0) {
  await writeFile(file, '');
  const write = async (bytes: Buffer) => {
    await appendFile(file, bytes);
    if (pauseMs > 0) await sleep(pauseMs);
  };
  return await writeBackup(at(servers.be.port), secret, write, untold);
}

/** Alters the one record in the store. */
async function cutOnlyHead(): Promise<void> {
  const keyringId = Buffer.from(`${(await client.info())['keyring']}`, 'hex');
  const keyring = async () => ({ keyringId, epoch: 1 });
  const be = new BeClient({ ...at(servers.be.port), keyring });
  try {
    const [item] = (await be.scan(Buffer.of(TABLE.RECORDS), undefined, 1)).items;
    assert.ok(item !== undefined);
    const { head, body = Buffer.alloc(0) } = await be.get(item.key, 1_000);
    await be.put(item.key, { head: head.subarray(1), body, expiryMs: 0 }, ALWAYS);
  } finally {
    be.close();
  }
}

/** Another back end with the backup in it, and a front end with the same keyring. */
async function withRestored(
  use: (client: FeClient, be: RunningServer) => Promise<void>,
): Promise<void> {
  const folder = await temporaryFolder();
  const config = await testConfig(folder);
  await mkdir(join(folder, 'fe'), { mode: 0o700 });
  const keyring = join(folder, 'fe', 'keyring.json');
  await copyFile(servers.config.feServerConfigs.keyring, keyring);
  const be = await startBe(config, silentLog);
  try {
    await restoreBackup(file, SECRET, at(be.port), false, untold);
    const link = { ...config.beClientConfigs, serverAddr: `127.0.0.1:${be.port}` };
    const fe = await startFe({ ...config, beClientConfigs: link }, silentLog);
    const other = new FeClient(at(fe.port));
    try {
      await use(other, be);
    } finally {
      other.close();
      await fe.close();
    }
  } finally {
    await be.close();
    await rm(folder, { recursive: true, force: true });
  }
}

describe('a backup', () => {
  it('has everything, and is the same twice but for its key', async () => {
    const large = randomBytes(3 * 1024 * 1024);
    const { key } = await client.store('large', large);
    for (let index = 0; index < 1_200; index++) await client.store(`id ${index}`, Buffer.from('x'));
    const tokens = new BeClient(at(servers.be.port));
    await tokens.store('token', Buffer.from('opaque'));
    tokens.close();
    await client.store('ends', Buffer.from('x'), { expiryMs: Date.now() + 3_600_000 });
    const first = await backUp();
    assert.equal(first.items, 1_203);
    const bytes = await readFile(file);
    assert.equal(bytes.length, first.bytes);
    assert.ok(!bytes.includes('opaque'));
    const second = await backUp();
    assert.equal(second.digest, first.digest);
    assert.ok(!(await readFile(file)).subarray(-100).equals(bytes.subarray(-100)));
    const verified = await verifyBackup(file, SECRET, untold);
    assert.deepEqual([verified.items, verified.digest], [1_203, first.digest]);
    await withRestored(async (other) => {
      assert.ok((await other.retrieve('large', key)).record.equals(large));
      assert.deepEqual(await other.head('ends'), await client.head('ends'));
    });
  });

  it('opens with a passphrase, too, and with nothing else', async () => {
    await client.store('a', Buffer.from('x'));
    const secret = { kind: 'passphrase', passphrase: Buffer.from('correct horse') } as const;
    await backUp(secret);
    assert.equal((await verifyBackup(file, secret, untold)).items, 1);
    const wrong = { ...secret, passphrase: Buffer.from('correct mule') };
    await rejectsWith(verifyBackup(file, wrong, untold), 'WRONG_KEY');
    await rejectsWith(verifyBackup(file, SECRET, untold), 'USAGE');
    await backUp();
    await rejectsWith(verifyBackup(file, secret, untold), 'USAGE');
    await rejectsWith(verifyBackup(file, { kind: 'key', key: drawKey() }, untold), 'WRONG_KEY');
  });

  it('that was changed or cut is refused before anything is restored', async () => {
    for (let index = 0; index < 300; index++) await client.store(`${index}`, randomBytes(1_000));
    await backUp();
    const whole = await readFile(file);
    const empty = await startServers();
    const link = at(empty.be.port);
    const changes = [
      whole.subarray(0, -1),
      whole.subarray(0, 70_000),
      Buffer.concat([whole, Buffer.of(0)]),
      Buffer.from(whole.toString('latin1').replace('"level"', '"mongo"'), 'latin1'),
      Buffer.from('enc-server-ts backup v2\n{}\n'),
      Buffer.from('something else'),
      Buffer.alloc(0),
    ];
    for (const changed of changes) {
      await writeFile(file, changed);
      const restoring = restoreBackup(file, SECRET, link, false, untold);
      await assert.rejects(restoring, ({ code }: { code: string }) =>
        ['ALTERED', 'WRONG_KEY', 'INVALID_RECORD'].includes(code),
      );
    }
    for (const cut of [whole.subarray(0, -1), whole.subarray(0, 70_000)]) {
      await writeFile(file, cut);
      const { hint } = await rejectsWith(verifyBackup(file, SECRET, untold), 'ALTERED');
      assert.match(hint, /^the file was changed or cut/);
    }
    const other = new FeClient(at(empty.fe.port));
    assert.deepEqual((await other.list({})).ids, []);
    other.close();
    await empty.close();
    await rejectsWith(verifyBackup(join(servers.folder, 'none'), SECRET, untold), 'FILE_ERROR');
  });

  it('takes an altered record as it is, and what comes after it', async () => {
    const altered = await client.store('altered', Buffer.from('x'));
    await cutOnlyHead();
    await rejectsWith(client.list({}), 'ALTERED');
    // Names lie in the store in no order, so some lie behind it.
    const keys: Buffer[] = [];
    for (let id = 0; id < 20; id++) {
      keys.push((await client.store(`${id}`, Buffer.from('y'))).key);
    }
    assert.equal((await backUp()).items, 21);
    await withRestored(async (other) => {
      await rejectsWith(other.retrieve('altered', altered.key), 'ALTERED');
      for (const [id, key] of keys.entries()) await other.retrieve(`${id}`, key);
    });
  });

  it('goes into an empty store of its keyring alone, unless it may replace', async () => {
    const { key } = await client.store('a', Buffer.from('before'));
    await backUp();
    await client.store('a', Buffer.from('after'));
    const link = at(servers.be.port);
    await rejectsWith(restoreBackup(file, SECRET, link, false, untold), 'CONFLICT');
    await restoreBackup(file, SECRET, link, true, untold);
    assert.equal(`${(await client.retrieve('a', key)).record}`, 'before');
    const stranger = await startServers();
    const theirs = new FeClient(at(stranger.fe.port));
    await theirs.store('x', Buffer.from('y'));
    const strange = restoreBackup(file, SECRET, at(stranger.be.port), true, untold);
    await rejectsWith(strange, 'KEYRING_MISMATCH');
    theirs.close();
    await stranger.close();
  });
});

describe('a backup under load', () => {
  /**
   * Callers write numbers, each into a few records of their own, one after another. A moment of
   * it has, of each caller, the last numbers up to some number, and nothing later.
   */
  it('is what was there at one moment: a prefix of what each caller was acknowledged', async () => {
    const [callers, places] = [6, 5];
    const keys = Array.from({ length: callers }, () => drawKey());
    const acknowledged = new Array<number>(callers).fill(0);
    const state = { isOver: false };
    const work = async (caller: number) => {
      for (let number = 1; !state.isOver; number++) {
        const id = `caller ${caller} place ${number % places}`;
        await client.store(id, Buffer.from(`${number}`), { key: keys[caller] as Buffer });
        acknowledged[caller] = number;
      }
    };
    // So that it takes a while, in the midst of all.
    for (let index = 0; index < 60; index++) await client.store(`${index}`, randomBytes(65_536));
    const working = Promise.all(keys.map((_key, caller) => work(caller)));
    await until(() => acknowledged.every((number) => number > 50));
    const before = [...acknowledged];
    await backUp(SECRET, 10);
    const after = [...acknowledged];
    // What is written while it is made must be much, or this proves nothing.
    assert.ok(after.every((number, caller) => number > (before[caller] ?? 0) + places));
    state.isOver = true;
    await working;
    await withRestored(async (restored) => {
      for (const [caller, key] of keys.entries()) {
        const numbers: number[] = [];
        for (let place = 0; place < places; place++) {
          const { record } = await restored.retrieve(`caller ${caller} place ${place}`, key);
          numbers.push(Number(`${record}`));
        }
        const last = Math.max(...numbers);
        assert.ok(last >= (before[caller] ?? 0), 'what was acknowledged before is there');
        assert.ok(last <= (after[caller] ?? 0) + 1, 'nothing of later');
        const expected = Array.from({ length: places }, (_none, place) => {
          const back = (((last - place) % places) + places) % places;
          return last - back;
        });
        assert.deepEqual(numbers, expected, `caller ${caller}`);
      }
    });
  });
});

describe('snapshots that a back end lends', () => {
  it('end by themselves, and are few', async () => {
    const be = new BeClient(at(servers.be.port));
    const many = await Promise.allSettled(Array.from({ length: 20 }, () => be.openSnapshot()));
    const some = many.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    assert.equal(some.length, 4);
    await rejectsWith(be.openSnapshot(), 'OVERLOADED');
    await some[0]?.close();
    const again = await be.openSnapshot();
    await again.close();
    await rejectsWith(again.scan(Buffer.of(1), undefined, 1), 'NOT_FOUND');
    await rejectsWith(again.get(Buffer.of(0, 1)), 'INVALID_FIELD');
    await Promise.all(some.map((one) => one.close()));
    be.close();
  });

  it('are closed a while after nobody asked', async () => {
    let closed = 0;
    const snapshot = {
      get: async () => undefined,
      scan: async () => ({ items: [], more: false }),
      close: async () => void closed++,
    };
    const lent = new Snapshots({ snapshot: async () => snapshot }, new Budget(1), 500);
    const context = { caller: { require: untold } } as never;
    const lease = await lent.open(context);
    // Longer than it lasts when nobody asks; each pause is so much shorter that no machine doubles it.
    for (let turn = 0; turn < 6; turn++) {
      await sleep(100);
      await lent.scan(lease, Buffer.of(1), undefined, 1, context);
    }
    assert.equal(closed, 0);
    await until(() => closed === 1);
    await rejectsWith(lent.scan(lease, Buffer.of(1), undefined, 1, context), 'NOT_FOUND');
  });

  it('need the scope admin', async () => {
    const folder = await temporaryFolder();
    const config = await testConfig(folder, { beServerConfigs: { auth: 'required' } });
    const closed = await startBe(config, silentLog);
    const be = new BeClient(at(closed.port));
    try {
      await rejectsWith(be.openSnapshot(), 'UNAUTHENTICATED');
    } finally {
      be.close();
      await closed.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
