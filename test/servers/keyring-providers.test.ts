/** Who seals the secrets of a keyring: nobody, a passphrase, a key service. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it, test } from 'node:test';
import {
  changeProvider,
  createKeyring,
  type Keyring,
  type KeyringMeans,
  loadKeyring,
  updateKeyring,
} from '../../lib/crypto/keyring.ts';
import { addEntry } from '../../lib/crypto/keyring-states.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { KeyringKeeper } from '../../lib/fe/keeper.ts';
import { meansOf } from '../../lib/fe/means.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http } from '../helpers/http.ts';
import { KeyService } from '../helpers/key-service.ts';
import { startServers, temporaryFolder, testConfig } from '../helpers/servers.ts';
import { until } from '../helpers/wire.ts';

let folder: string;
let service: KeyService;
const pass: KeyringMeans = { passphrase: Buffer.from('correct horse battery staple') };

before(async () => {
  folder = await temporaryFolder();
  service = await KeyService.start();
});
after(async () => {
  await service.close();
  await rm(folder, { recursive: true });
});

function transit(changes: object = {}): KeyringMeans {
  const { url, token } = service;
  return { transit: { url, token, key: 'ring', ca: '', timeoutMs: 2_000, ...changes } };
}

function secretsOf({ entries, wrapEntries }: Keyring): string[] {
  return [...entries, ...wrapEntries].map(({ secret }) => secret.toString('hex'));
}

async function edit(path: string, change: (file: Record<string, unknown>) => void): Promise<void> {
  const file = JSON.parse(await readFile(path, 'utf8'));
  change(file);
  await writeFile(path, JSON.stringify(file));
}

const KINDS = [
  { kind: 'passphrase', means: () => pass },
  { kind: 'transit', means: () => transit() },
] as const;

test('of both means, a new keyring takes the key service; else its file says which', async () => {
  const path = join(folder, 'both.json');
  const both = { ...pass, ...transit() };
  const provider = async () => JSON.parse(await readFile(path, 'utf8')).provider;
  const { keyringId } = await createKeyring(path, both);
  assert.equal(await provider(), 'transit');
  // To change from one to the other takes both.
  await changeProvider(path, both, 'passphrase', both);
  assert.equal(await provider(), 'passphrase');
  const asked = service.asked;
  assert.deepEqual((await loadKeyring(path, both))?.keyringId, keyringId);
  assert.equal(service.asked, asked);
});

for (const { kind, means } of KINDS) {
  describe(`a keyring sealed by ${kind}`, () => {
    it('has no secret in its file, and opens to what it was', async () => {
      const path = join(folder, `${kind}.json`);
      const made = await createKeyring(path, means());
      const text = await readFile(path, 'utf8');
      assert.equal(JSON.parse(text).provider, kind);
      for (const secret of secretsOf(made)) assert.ok(!text.includes(secret));
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      assert.deepEqual(await loadKeyring(path, means()), made);
      const added = await updateKeyring(path, addEntry, means());
      assert.deepEqual(await loadKeyring(path, means()), added);
      assert.equal(JSON.parse(await readFile(path, 'utf8')).provider, kind);
    });

    it('is KEYRING_LOCKED without what opens it, and KEYRING_DAMAGED where it is', async () => {
      const path = join(folder, `${kind}-locked.json`);
      await createKeyring(path, means());
      const good = `${path}.good`;
      await copyFile(path, good);
      await rejectsWith(loadKeyring(path), 'KEYRING_LOCKED');
      const changes: [string, (file: Record<string, unknown>) => void][] = [
        ['KEYRING_DAMAGED', (file) => Object.assign(file, { epoch: 7 })],
        ['KEYRING_DAMAGED', (file) => Object.assign(file, { sealed: '00' })],
        ['KEYRING_DAMAGED', (file) => Object.assign(file, { nonce: '00'.repeat(12) })],
        ['KEYRING_DAMAGED', (file) => Object.assign(file, { how: {} })],
        ['KEYRING_DAMAGED', (file) => Object.assign(file, { version: 2 })],
        ['KEYRING_DAMAGED', (file) => Object.assign(file, { provider: 'other' })],
        ['KEYRING_DAMAGED', (file) => Object.assign(file, { more: 1 })],
      ];
      for (const [code, change] of changes) {
        await copyFile(good, path);
        await edit(path, change);
        await rejectsWith(loadKeyring(path, means()), code as 'KEYRING_DAMAGED');
      }
    });

    it('becomes one of the other kinds and back, and stays the same keyring', async () => {
      const path = join(folder, `${kind}-changed.json`);
      const made = await createKeyring(path);
      await changeProvider(path, {}, kind, means());
      assert.deepEqual(await loadKeyring(path, means()), made);
      const other = kind === 'transit' ? 'passphrase' : 'transit';
      const both = { ...pass, ...transit() };
      await changeProvider(path, both, other, both);
      assert.deepEqual(await loadKeyring(path, both), made);
      await changeProvider(path, both, 'file', {});
      assert.deepEqual(await loadKeyring(path), made);
    });
  });
}

describe('a passphrase', () => {
  it('opens nothing if it is another one', async () => {
    const path = join(folder, 'wrong.json');
    await createKeyring(path, pass);
    const wrong = { passphrase: Buffer.from('correct horse') };
    const error = await rejectsWith(loadKeyring(path, wrong), 'KEYRING_LOCKED');
    assert.match(error.message, /passphrase is wrong/);
    await rejectsWith(updateKeyring(path, addEntry, wrong), 'KEYRING_LOCKED');
    await loadKeyring(path, pass);
  });

  it('is not asked to cost any memory or time', async () => {
    const path = join(folder, 'costly.json');
    await createKeyring(path, pass);
    const good = await readFile(path, 'utf8');
    const costs = [
      { N: 2 ** 30 },
      { N: 2 ** 20, r: 16 },
      { N: 100_000 },
      { N: 2 ** 13 },
      { r: 1_000 },
      { p: 64 },
      { r: 0.5 },
      { salt: 'ab' },
    ];
    for (const cost of costs) {
      const file = JSON.parse(good);
      Object.assign(file.how, cost);
      // The checksum must not be what refuses it: whoever changes the file can compute it.
      file.checksum = checksum(file);
      await writeFile(path, JSON.stringify(file));
      const error = await rejectsWith(loadKeyring(path, pass), 'KEYRING_DAMAGED');
      assert.doesNotMatch(error.message, /checksum/);
    }
    const file = JSON.parse(good);
    // Whoever changes what is no secret, and computes the checksum, is noticed as well.
    file.epoch = 9;
    file.checksum = checksum(file);
    await writeFile(path, JSON.stringify(file));
    await rejectsWith(loadKeyring(path, pass), 'KEYRING_LOCKED');
  });
});

/** As docs/ENVELOPE.md has it. */
function checksum(file: {
  how: Record<string, string | number>;
  [member: string]: unknown;
}): string {
  const entries = (name: string) =>
    (file[name] as { number: number; state: string }[]).map(
      ({ number, state }) => `${name === 'entries' ? 'entry' : 'wrapEntry'} ${number} ${state}`,
    );
  const lines = [
    'enc-server-ts keyring',
    'version 1',
    `provider ${file['provider']}`,
    ...Object.keys(file.how)
      .sort()
      .map((name) => `how ${name} ${file.how[name]}`),
    `keyringId ${file['keyringId']}`,
    `epoch ${file['epoch']}`,
    ...entries('entries'),
    ...entries('wrapEntries'),
    `nonce ${file['nonce']}`,
    `sealed ${file['sealed']}`,
  ];
  return createHash('sha256')
    .update(`${lines.join('\n')}\n`)
    .digest('hex');
}

describe('a key service', () => {
  it('is asked once for a file, and what it answers against it is told', async () => {
    const path = join(folder, 'service.json');
    await createKeyring(path, transit());
    const before = service.asked;
    await loadKeyring(path, transit());
    assert.equal(service.asked - before, 1);
    await rejectsWith(loadKeyring(path, transit({ token: 'wrong' })), 'KEYRING_LOCKED');
    await rejectsWith(loadKeyring(path, transit({ url: 'http://127.0.0.1:1' })), 'UNAVAILABLE');
    await rejectsWith(loadKeyring(path, transit({ ca: '/nowhere' })), 'FILE_ERROR');
    const answers = [
      [503, '{"errors":["sealed"]}', 'UNAVAILABLE'],
      [429, '', 'UNAVAILABLE'],
      [400, '{}', 'KEYRING_LOCKED'],
      [200, 'no json', 'KEYRING_LOCKED'],
      [200, '{"data":{"plaintext":"AAAA"}}', 'KEYRING_LOCKED'],
      [200, `{"data":"${'x'.repeat(70_000)}"}`, 'KEYRING_LOCKED'],
    ] as const;
    for (const [status, body, code] of answers) {
      service.failure = { status, body };
      await rejectsWith(loadKeyring(path, transit()), code);
    }
    service.failure = undefined;
    await loadKeyring(path, transit());
  });

  it('has one deadline for its whole answer, and is not waited for after the close', {
    timeout: 20_000,
  }, async () => {
    const path = join(folder, 'drips.json');
    await createKeyring(path, transit());
    service.drips = true;
    const error = await rejectsWith(loadKeyring(path, transit({ timeoutMs: 200 })), 'UNAVAILABLE');
    assert.match(error.message, /no answer/);
    const keeper = new KeyringKeeper(
      path,
      async () => undefined,
      transit({ timeoutMs: 3_600_000 }),
    );
    const asked = service.asked;
    const opening = keeper.open();
    await until(async () => service.asked > asked);
    keeper.close();
    await rejectsWith(opening, 'UNAVAILABLE');
    service.drips = false;
    await loadKeyring(path, transit());
  });

  it('that fails is asked with growing pauses while a front end starts', async () => {
    const { url: keyringTransitUrl, token: keyringTransitToken } = service;
    const settings = { keyringTransitUrl, keyringTransitToken, keyringTransitKey: 'ring' };
    const own = await temporaryFolder();
    const config = await testConfig(own, { feServerConfigs: settings });
    await createKeyring(config.feServerConfigs.keyring, transit());
    service.failure = { status: 503, body: '{}' };
    const asked = service.asked;
    const fe = await startFe(config, silentLog);
    const times = service.asked - asked;
    service.failure = undefined;
    await fe.close();
    await rm(own, { recursive: true });
    assert.ok(times < 60, `${times}`);
  });

  it('may be away when a front end starts, and at any time later', async () => {
    const { url: keyringTransitUrl, token: keyringTransitToken } = service;
    const settings = { keyringTransitUrl, keyringTransitToken, keyringTransitKey: 'ring' };
    const servers = await startServers({ feServerConfigs: settings });
    const { keyring } = servers.config.feServerConfigs;
    assert.equal(JSON.parse(await readFile(keyring, 'utf8')).provider, 'transit');
    const client = new FeClient({ address: { host: '127.0.0.1', port: servers.fe.port } });
    const { key } = await client.store('alice', Buffer.from('hello'));
    await service.close();
    // What is in memory is enough.
    assert.equal(`${(await client.retrieve('alice', key)).record}`, 'hello');
    client.close();
    await servers.fe.close();
    const beClientConfigs = { serverAddr: `127.0.0.1:${servers.be.port}` };
    const config = await testConfig(servers.folder, { feServerConfigs: settings, beClientConfigs });
    const again = await startFe(config, silentLog);
    // Whoever looks is sent to the key service, not to the back end.
    const away = /the key service at \S+ cannot be reached/;
    assert.match(again.line, away);
    const { missing } = (await http(again.port, 'GET', '/readyz')).json<{ missing: string[] }>();
    assert.match(missing[0] ?? '', /^keyring: the key service at \S+ cannot be reached/);
    assert.deepEqual(missing.slice(1), ['back end: not called without a keyring']);
    const other = new FeClient({
      address: { host: '127.0.0.1', port: again.port },
      attemptsMax: 1,
    });
    const told = await rejectsWith(other.retrieve('alice', key), 'UNAVAILABLE');
    assert.match(told.message, away);
    assert.match(told.hint, /start the key service/);
    await service.listen();
    await until(async () => {
      const found = await other.retrieve('alice', key).catch(() => undefined);
      return found?.record.toString() === 'hello';
    });
    other.close();
    await again.close();
    const locked = { ...settings, keyringTransitToken: 'wrong' };
    const refused = await testConfig(servers.folder, { feServerConfigs: locked, beClientConfigs });
    await rejectsWith(startFe(refused, silentLog), 'KEYRING_LOCKED');
    await servers.close();
  });
});

it('a key service is asked over TLS, or on this machine', async () => {
  const folder = await temporaryFolder();
  try {
    const meansFor = async (keyringTransitUrl: string) =>
      meansOf(
        (await testConfig(folder, { feServerConfigs: { keyringTransitUrl } })).feServerConfigs,
      );
    for (const url of [
      'https://vault.example/v1/transit',
      'http://127.0.0.1:1/t',
      'http://[::1]/t',
    ]) {
      assert.equal((await meansFor(url)).transit?.url, url);
    }
    for (const url of ['http://vault.example/v1/transit', 'http://192.0.2.7:8200/v1/transit']) {
      await rejectsWith(meansFor(url), 'BAD_CONFIG');
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
