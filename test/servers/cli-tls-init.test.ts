/** `enc-server keys tls-init`: what it makes, what it never overwrites, what it renews. */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { initTls } from '../../lib/cli/tls-init.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { Running, run } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const NAMES = ['ca', 'fe', 'be', 'admin'];
const SERVER = '1.3.6.1.5.5.7.3.1';
const CLIENT = '1.3.6.1.5.5.7.3.2';
const DAY_MS = 86_400_000;

describe('keys tls-init', () => {
  let parent: string;
  let folder: string;
  beforeEach(async () => {
    parent = await temporaryFolder();
    folder = join(parent, 'tls');
  });
  afterEach(() => rm(parent, { recursive: true }));

  const init = (facts: Partial<Parameters<typeof initTls>[0]> = {}) =>
    initTls({ folder, hosts: [], days: 30, renew: false, ...facts });

  async function certificate(name: string): Promise<X509Certificate> {
    return new X509Certificate(await readFile(join(folder, `${name}.pem`)));
  }

  async function namesOf(name: string): Promise<string[]> {
    return (await certificate(name)).subjectAltName?.split(', ') ?? [];
  }

  it('makes an authority and three certificates, each with key, names and purposes', async () => {
    const files = await init({ hosts: ['db.example', '192.0.2.7', '2001:db8::7'] });
    const expected = NAMES.flatMap((name) => [`${name}.key`, `${name}.pem`]);
    assert.deepEqual((await readdir(folder)).sort(), expected.sort());
    assert.deepEqual(files.map((file) => file.slice(folder.length + 1)).sort(), expected.sort());
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    const authority = await certificate('ca');
    assert.ok(authority.ca);
    assert.ok(authority.verify(authority.publicKey));
    for (const name of NAMES) {
      const own = await certificate(name);
      const path = join(folder, `${name}.key`);
      assert.equal((await stat(path)).mode & 0o777, 0o600, path);
      assert.ok(own.checkPrivateKey(createPrivateKey(await readFile(path))), name);
      assert.ok(own.verify(authority.publicKey), name);
      if (name === 'ca') continue;
      assert.ok(own.checkIssued(authority) && !own.ca, name);
      const days = (Date.parse(own.validTo) - Date.now()) / DAY_MS;
      assert.ok(days > 29 && days <= 30, `${name}: ${days}`);
    }
    for (const name of ['fe', 'be']) {
      const own = await certificate(name);
      for (const host of [name, 'localhost', 'db.example']) assert.equal(own.checkHost(host), host);
      for (const address of ['127.0.0.1', '::1', '192.0.2.7', '2001:db8::7']) {
        assert.ok(own.checkIP(address), `${name}: ${address}`);
      }
    }
    assert.equal((await certificate('be')).checkHost('fe', { subject: 'never' }), undefined);
    assert.deepEqual(await namesOf('admin'), ['DNS:admin']);
    const purposes = async (name: string) => [...((await certificate(name)).keyUsage ?? [])].sort();
    assert.deepEqual(await purposes('fe'), [SERVER, CLIENT]);
    assert.deepEqual(await purposes('be'), [SERVER]);
    assert.deepEqual(await purposes('admin'), [CLIENT]);
  });

  it('overwrites none of its files, whoever made them', async () => {
    await init();
    const before = await readFile(join(folder, 'ca.key'), 'utf8');
    await rejectsWith(init(), 'CONFLICT');
    assert.equal(await readFile(join(folder, 'ca.key'), 'utf8'), before);
    for (const file of ['fe.key', 'admin.pem', 'ca.key']) {
      const other = join(parent, `with-${file}`);
      await mkdir(other);
      await writeFile(join(other, file), 'somebody’s own');
      const error = await rejectsWith(init({ folder: other }), 'CONFLICT');
      assert.match(error.message, new RegExp(file.replace('.', '\\.')));
      assert.deepEqual(await readdir(other), [file]);
      assert.equal(await readFile(join(other, file), 'utf8'), 'somebody’s own');
    }
  });

  it('renews for the same hosts by the same authority, or for those that are given', async () => {
    await init({ hosts: ['db.example', '2001:db8::7'] });
    const authority = await readFile(join(folder, 'ca.pem'), 'utf8');
    const before = await certificate('be');
    const names = await namesOf('be');
    assert.ok(names.includes('DNS:db.example'));
    const files = await init({ renew: true });
    assert.equal(files.length, 6);
    const after = await certificate('be');
    assert.notEqual(after.serialNumber, before.serialNumber);
    assert.ok(!after.publicKey.equals(before.publicKey));
    assert.ok(after.checkIssued(new X509Certificate(authority)));
    assert.equal(await readFile(join(folder, 'ca.pem'), 'utf8'), authority);
    assert.deepEqual((await namesOf('be')).sort(), names.sort());
    assert.deepEqual(await namesOf('admin'), ['DNS:admin']);
    await init({ renew: true, hosts: ['other.example'] });
    const given = await namesOf('be');
    assert.ok(given.includes('DNS:other.example') && !given.includes('DNS:db.example'));
    assert.ok(!(await readdir(folder)).some((file) => file.endsWith('.new')));
  });

  it('renews nothing where there is no authority, and makes none', async () => {
    await rejectsWith(init({ renew: true }), 'FILE_ERROR');
    assert.deepEqual(await readdir(parent), []);
    await init();
    await writeFile(join(folder, 'be.pem'), 'no certificate');
    const error = await rejectsWith(init({ renew: true }), 'FILE_ERROR');
    assert.match(error.describe(), /be\.pem is no certificate; .*--host/);
    await init({ renew: true, hosts: ['db.example'] });
    assert.ok((await namesOf('be')).includes('DNS:db.example'));
  });

  it('on the command line: results as JSON, mistakes before anything is made', async () => {
    const made = await run('enc-server', ['keys', 'tls-init', '--out', folder, '--json']);
    assert.equal(made.code, 0, made.stderr);
    assert.equal(JSON.parse(made.stdout.toString()).files.length, 8);
    const again = await run('enc-server', ['keys', 'tls-init', '--out', folder, '--json']);
    assert.equal(again.code, 7);
    assert.equal(JSON.parse(again.stderr).error.code, 'CONFLICT');
    const other = join(parent, 'other');
    for (const args of [
      [],
      ['--days', '0'],
      ['--days', '1e3'],
      ['--host', 'a b'],
      ['--hots', 'a'],
    ]) {
      const out = args.length === 0 ? [] : ['--out', other];
      const { code, stderr } = await run('enc-server', ['keys', 'tls-init', ...out, ...args]);
      assert.equal(code, 2, `${args}: ${stderr}`);
    }
    assert.deepEqual(await readdir(parent), ['tls']);
  });

  it('a server takes its files one by one, too', async () => {
    await init();
    const path = (name: string) => join(folder, name);
    const own = ['--tls-cert', path('be.pem'), '--tls-key', path('be.key')];
    const flags = ['--store', 'memory', '--port', '0', ...own, '--tls-client-ca', path('ca.pem')];
    const server = new Running('be-server', [...flags, '--auth', '--data-dir', parent]);
    try {
      const [, port] = await server.saw(/be listening on 127\.0\.0\.1:(\d+) /);
      const to = ['--server', `localhost:${port}`, '--tls-ca', path('ca.pem')];
      const store = ['store', '--id', 'x', '--record', 'y', ...to];
      const theirs = ['--tls-cert', path('fe.pem'), '--tls-key', path('fe.key')];
      const known = await run('be-client', [...store, ...theirs]);
      assert.equal(known.code, 0, known.stderr);
      const nobody = await run('be-client', store);
      assert.equal(nobody.code, 6);
      assert.match(nobody.stderr, /UNAUTHENTICATED/);
    } finally {
      await server.killAll();
    }
    const half = await run('be-server', ['--port', '0', '--store', 'memory', ...own.slice(0, 2)]);
    assert.equal(half.code, 2);
    assert.match(half.stderr, /BAD_CONFIG .*tlsKey/);
  });
});
