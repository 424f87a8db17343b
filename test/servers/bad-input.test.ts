/** What people get wrong: each is told in words, and leaves nothing behind that is in the way. */
import assert from 'node:assert/strict';
import { access, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startBe } from '../../lib/be/server.ts';
import type { PartialConfig } from '../../lib/config/load.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { makeCertificates } from '../helpers/certificates.ts';
import { http, RawHttp } from '../helpers/http.ts';
import { run, startUp } from '../helpers/programs.ts';
import { startServers, type TestServers, temporaryFolder, testConfig } from '../helpers/servers.ts';

interface Complaint {
  readonly code: string;
  readonly message: RegExp;
}

describe('settings that contradict each other', () => {
  let servers: TestServers;
  let folder: string;
  before(async () => {
    servers = await startServers();
    folder = await temporaryFolder();
  });
  after(async () => {
    await servers.close();
    await rm(folder, { recursive: true });
  });

  async function refused(role: 'fe' | 'be', flags: PartialConfig, complaint: Complaint) {
    const serverAddr = `127.0.0.1:${servers.be.port}`;
    const all = { ...flags, beClientConfigs: { serverAddr, ...flags.beClientConfigs } };
    const start = role === 'fe' ? startFe : startBe;
    const starting = testConfig(folder, all).then((config) => start(config, silentLog));
    await assert.rejects(starting, complaint);
    // With a keyring that nobody meant, the right settings would be refused later.
    await assert.rejects(access(join(folder, 'fe/keyring.json')), { code: 'ENOENT' });
  }

  it('a certificate without its key, a key without its certificate, an authority alone', async () => {
    const complaint = { code: 'BAD_CONFIG', message: /tlsCert and tlsKey/ };
    for (const key of ['tlsCert', 'tlsKey', 'tlsClientCa']) {
      const half = { [key]: join(folder, 'half.pem') };
      await refused('fe', { feServerConfigs: half }, complaint);
      await refused('be', { beServerConfigs: half }, complaint);
      if (key !== 'tlsClientCa') await refused('fe', { beClientConfigs: half }, complaint);
    }
  });

  it('tokens in the clear, and nobody known, beyond loopback', async () => {
    const host = '0.0.0.0';
    const clear = { code: 'NOT_ALLOWED', message: /tokens would travel in the clear/ };
    await refused('be', { beServerConfigs: { host, auth: 'required' } }, clear);
    const open = { code: 'NOT_ALLOWED', message: /nobody is authenticated/ };
    await refused('be', { beServerConfigs: { host } }, open);
  });

  it('a longest record that does not fit into memory', async () => {
    const section = { recordBytesMax: '8MiB', bytesInFlightMax: '8MiB' };
    const complaint = { code: 'BAD_CONFIG', message: /bytesInFlightMax: expected at least 4\/3/ };
    await refused('fe', { feServerConfigs: section }, complaint);
    await refused('be', { beServerConfigs: section }, complaint);
  });

  it('TLS to a back end that speaks none', async () => {
    const complaint = { code: 'TLS_FAILED', message: /speaks no TLS/ };
    await refused('fe', { beClientConfigs: { tls: true } }, complaint);
  });

  it('a front end as the back end of another, which has its keyring or not', async () => {
    const complaint = { code: 'BAD_CONFIG', message: /is no back end/ };
    const link = { serverAddr: `127.0.0.1:${servers.fe.port}` };
    await refused('fe', { beClientConfigs: link }, complaint);
    const keyring = join(servers.folder, 'fe/keyring.json');
    await refused('fe', { beClientConfigs: link, feServerConfigs: { keyring } }, complaint);
  });

  it('one port for both servers', async () => {
    const port = String(servers.be.port);
    const args = ['up', '--data-dir', folder, '--fe-port', port, '--be-port', port];
    const { code, stderr } = await run('enc-server', [...args, '--store', 'memory']);
    assert.equal(code, 5);
    assert.match(stderr, /PORT_TAKEN/);
  });
});

describe('files of secrets that are missing or empty', () => {
  let folder: string;
  let empty: string;
  let missing: string;
  before(async () => {
    folder = await temporaryFolder();
    empty = join(folder, 'empty');
    missing = join(folder, 'missing');
    await writeFile(empty, '', { mode: 0o600 });
  });
  after(() => rm(folder, { recursive: true }));

  const FLAGS = [
    ['store', '--id', 'a', '--record', 'x', '--token-file'],
    ['store', '--id', 'a', '--record', 'x', '--old-key-file'],
    ['retrieve', '--id', 'a', '--key-file'],
    ['delete', '--id', 'a', '--key-file'],
  ];
  for (const args of FLAGS) {
    it(`${args[0]} ${args.at(-1)}`, async () => {
      for (const path of [missing, empty]) {
        const { code, stderr } = await run('fe-client', [...args, path]);
        assert.equal(code, 2, stderr);
        assert.match(
          stderr,
          path === missing ? /FILE_ERROR .*missing.*ENOENT/ : /FILE_|INVALID_KEY/,
        );
      }
    });
  }

  it('the variables of servers', async () => {
    const names = ['FESERVERCONFIGS_KEYRINGPASSPHRASE', 'FESERVERCONFIGS_KEYRINGTRANSITTOKEN'];
    for (const name of [...names, 'BECLIENTCONFIGS_TOKEN', 'BESERVERCONFIGS_MONGOURI']) {
      for (const [path, words] of [
        [missing, /there is no such file/],
        [empty, /it is empty/],
      ] as const) {
        const env = { [`ENC_SERVER_TS_${name}_FILE`]: path };
        const { code, stderr } = await run('enc-server', ['up', '--data-dir', folder], { env });
        assert.equal(code, 2, stderr);
        assert.match(stderr, words);
        assert.ok(stderr.includes(name));
      }
    }
  });

  it('the private key of TLS', async () => {
    const certificates = await makeCertificates(join(folder, 'tls'));
    for (const [tlsKey, code] of [
      [missing, 'FILE_ERROR'],
      [empty, 'BAD_CONFIG'],
    ] as const) {
      const { tlsCert } = certificates.leaf('be');
      const config = await testConfig(folder, { beServerConfigs: { tlsCert, tlsKey } });
      await assert.rejects(startBe(config, silentLog), { code });
    }
  });

  it('the new passphrase of a keyring, which stays as it was', async () => {
    const up = await startUp(folder, ['--store', 'memory']);
    await up.stop();
    const provider = ['keys', 'provider', 'passphrase', '--data-dir', folder];
    for (const path of [missing, empty]) {
      const { code } = await run('enc-server', [...provider, '--new-passphrase-file', path]);
      assert.equal(code, 2);
    }
    const none = await run('enc-server', provider);
    assert.match(none.stderr, /there is no passphrase to seal the keyring by/);
    assert.equal((await run('enc-server', ['keys', 'list', '--data-dir', folder])).code, 0);
    // Standard input is a socket here, which cannot be opened by its name.
    const input = Buffer.from('correct horse battery staple\n');
    const sealed = await run('enc-server', [...provider, '--new-passphrase-file', '-'], { input });
    assert.equal(sealed.code, 0, sealed.stderr);
    const locked = await run('enc-server', ['keys', 'list', '--data-dir', folder]);
    assert.match(locked.stderr, /KEYRING_LOCKED the keyring is sealed by a passphrase/);
  });
});

describe('a scrape while a server closes', () => {
  const HEAD = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n';

  for (const role of ['fe', 'be'] as const) {
    it(`is answered whole where it had begun, else refused: ${role}`, async () => {
      const servers = await startServers();
      const server = servers[role];
      const raw = new RawHttp(server.port);
      raw.write(`${HEAD}\r\n`);
      await raw.saw(/ 200 OK.*enc_server_ready 1\n/s);
      raw.received = '';
      raw.write(HEAD);
      // The server has read the half of it once it has answered what came later.
      await http(server.port, 'GET', '/healthz');
      const closing = role === 'fe' ? server.close() : servers.stopBe();
      await assert.rejects(http(server.port, 'GET', '/metrics'));
      raw.write('\r\n');
      await raw.saw(/^HTTP\/1\.1 200 OK.*Connection: close.*enc_server_requests_total/s);
      await closing;
      raw.destroy();
      await servers.close();
    });
  }
});
