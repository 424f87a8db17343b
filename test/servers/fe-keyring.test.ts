/** Keyring and store belong together: what a front end does when they do not. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { access, chmod, copyFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { BeClient } from '../../lib/be/client.ts';
import { startBe } from '../../lib/be/server.ts';
import type { Config, PartialConfig } from '../../lib/config/load.ts';
import { EncServerError } from '../../lib/errors.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { KeyringKeeper } from '../../lib/fe/keeper.ts';
import { Rotation } from '../../lib/fe/rotation.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { FakeServer } from '../helpers/fake-server.ts';
import { http } from '../helpers/http.ts';
import { startServers, temporaryFolder, testConfig } from '../helpers/servers.ts';
import { ask, until } from '../helpers/wire.ts';

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await temporaryFolder();
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The configuration of a front end with its keyring in `folder`, for the back end at `port`. */
function feConfig(folder: string, port: number, flags: PartialConfig = {}): Promise<Config> {
  return testConfig(folder, { ...flags, beClientConfigs: { serverAddr: `127.0.0.1:${port}` } });
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const fake = await FakeServer.start(() => undefined);
  const { port } = fake;
  await fake.close();
  return port;
}

test('the very first start makes the keyring, for its owner alone; the next reads it', async () => {
  const servers = await startServers();
  const { keyring } = servers.config.feServerConfigs;
  assert.match(
    servers.fe.line,
    /^fe listening on 127\.0\.0\.1:\d+ \(keyring new: .*, back it up\)$/,
  );
  assert.ok(servers.fe.line.includes(keyring));
  assert.equal((await stat(keyring)).mode & 0o777, 0o600);
  await servers.fe.close();
  const again = await startFe(await feConfig(servers.folder, servers.be.port), silentLog);
  assert.match(again.line, /\(keyring \/[^ ]*\)$/);
  await again.close();
  await servers.close();
});

test('a missing keyring over a filled store is KEYRING_MISSING, and none is made', async () => {
  const servers = await startServers();
  await ask(servers.fe.port, 'STORE alice x\n');
  const { keyring } = servers.config.feServerConfigs;
  await rename(keyring, `${keyring}.backup`);
  const config = await feConfig(servers.folder, servers.be.port);
  const error = await rejectsWith(startFe(config, silentLog), 'KEYRING_MISSING');
  assert.ok(error.message.includes(keyring));
  assert.equal(await exists(keyring), false);
  await rename(`${keyring}.backup`, keyring);
  await (await startFe(config, silentLog)).close();
  await servers.close();
});

test('a front end with an older copy of the keyring is not ready until it has the new one', async () => {
  const servers = await startServers();
  const { fe, be, folder, config } = servers;
  const { keyring } = config.feServerConfigs;
  const copy = join(folder, 'copy.json');
  const link = { address: { host: '127.0.0.1', port: be.port } };
  const rotation = new Rotation({ path: keyring, link });
  await rotation.add();
  await copyFile(keyring, copy);
  const flags = { feServerConfigs: { keyring: copy } };
  const other = await startFe(await feConfig(folder, be.port, flags), silentLog);
  const readyz = async (port: number) => {
    const { status, body } = await http(port, 'GET', '/readyz');
    return [status, JSON.parse(body.toString()).missing];
  };
  assert.deepEqual(await readyz(other.port), [200, []]);
  await rotation.activate(10_000, () => undefined);
  const behind = "keyring: older than the store's (epoch 2 of 3)";
  assert.deepEqual(await readyz(other.port), [503, [behind]]);
  // One that shares the file reads it when it is asked, though it has not looked yet.
  assert.deepEqual(await readyz(fe.port), [200, []]);
  await copyFile(keyring, copy);
  assert.deepEqual(await readyz(other.port), [200, []]);
  await other.close();
  await servers.close();
});

test('a keyring of another store is KEYRING_MISMATCH', async () => {
  const [mine, theirs] = [await startServers(), await startServers()];
  const config = await feConfig(theirs.folder, mine.be.port);
  await rejectsWith(startFe(config, silentLog), 'KEYRING_MISMATCH');
  await mine.close();
  await theirs.close();
});

test('a keyring of an older epoch than the store has seen is STALE_EPOCH', async () => {
  const servers = await startServers();
  const address = { host: '127.0.0.1', port: servers.be.port };
  const asker = new BeClient({ address });
  const known = await asker.askKeyring();
  const newer = { keyringId: known?.keyringId ?? randomBytes(16), epoch: 2 };
  const young = new BeClient({ address, keyring: async () => newer });
  await young.ping();
  await rejectsWith(
    startFe(await feConfig(servers.folder, servers.be.port), silentLog),
    'STALE_EPOCH',
  );
  for (const client of [asker, young]) client.close();
  await servers.close();
});

test('a keyring that others may read is KEYRING_UNSAFE', async () => {
  const servers = await startServers();
  await chmod(servers.config.feServerConfigs.keyring, 0o640);
  const config = await feConfig(servers.folder, servers.be.port);
  await rejectsWith(startFe(config, silentLog), 'KEYRING_UNSAFE');
  await servers.close();
});

test('while the back end is away no keyring is made; once it is there, all is well', async () => {
  await withFolder(async (folder) => {
    const port = await freePort();
    const config = await feConfig(folder, port);
    const fe = await startFe(config, silentLog);
    assert.match(fe.line, /\(no keyring yet: /);
    const { keyring } = config.feServerConfigs;
    assert.equal(await exists(keyring), false);
    const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port }, attemptsMax: 1 });
    const { hint } = await rejectsWith(client.store('alice', Buffer.from('x')), 'UNAVAILABLE');
    assert.match(hint, /start the back end/);
    await client.ping();
    const be = await startBe(await testConfig(folder, { beServerConfigs: { port } }), silentLog);
    await until(async () => (await client.info())['ok'] === true);
    const { key } = await client.store('alice', Buffer.from('x'));
    assert.equal(`${(await client.retrieve('alice', key)).record}`, 'x');
    assert.equal(await exists(keyring), true);
    client.close();
    await fe.close();
    await be.close();
  });
});

test('a keyring found missing only later is told to callers as that', async () => {
  await withFolder(async (folder) => {
    const port = await freePort();
    const fe = await startFe(await feConfig(join(folder, 'empty'), port), silentLog);
    const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port }, attemptsMax: 1 });
    await rejectsWith(client.delete('alice'), 'UNAVAILABLE');
    const be = await startBe(await testConfig(folder, { beServerConfigs: { port } }), silentLog);
    const keyring = { keyringId: randomBytes(16), epoch: 1 };
    const other = new BeClient({
      address: { host: '127.0.0.1', port },
      keyring: async () => keyring,
    });
    await other.ping();
    await until(async () => {
      const code = await client.delete('alice').catch((error) => error.code);
      return code === 'KEYRING_MISSING' || code === 'KEYRING_MISMATCH';
    });
    for (const one of [client, other]) one.close();
    await fe.close();
    await be.close();
  });
});

test('two front ends that start at once on one folder have one keyring', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'fe', 'keyring.json');
    const keepers = [1, 2, 3].map(() => new KeyringKeeper(path, async () => undefined));
    const ids = await Promise.all(
      keepers.map(async (keeper) => (await keeper.open()).keyringId.toString('hex')),
    );
    assert.equal(new Set(ids).size, 1);
    assert.equal(keepers.filter(({ made }) => made).length, 1);
  });
});

test('a keeper that could not ask asks again', async () => {
  await withFolder(async (folder) => {
    let answers = 0;
    const keeper = new KeyringKeeper(join(folder, 'keyring.json'), async () => {
      if (++answers === 1) throw new EncServerError('UNAVAILABLE', 'not yet');
      return undefined;
    });
    const opening = [keeper.open(), keeper.open()];
    for (const one of opening) await rejectsWith(one, 'UNAVAILABLE');
    assert.equal(answers, 1);
    assert.throws(() => keeper.ring, { code: 'UNAVAILABLE' });
    const keyring = await keeper.open();
    assert.equal(keeper.keyring, keyring);
    assert.equal(await keeper.open(), keyring);
    assert.equal(keeper.ring, keeper.ring);
  });
});

test('a port that is taken is told before anything else goes wrong', async () => {
  const servers = await startServers();
  const flags = { feServerConfigs: { port: servers.fe.port } };
  const config = await feConfig(servers.folder, servers.be.port, flags);
  const error = await rejectsWith(startFe(config, silentLog), 'PORT_TAKEN');
  assert.match(error.hint, /--port .*--fe-port/);
  await withFolder(async (folder) => {
    const be = await testConfig(folder, { beServerConfigs: { port: servers.be.port } });
    assert.match((await rejectsWith(startBe(be, silentLog), 'PORT_TAKEN')).hint, /--be-port/);
  });
  await servers.close();
});
