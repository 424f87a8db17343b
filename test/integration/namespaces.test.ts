/**
 * Two servers on two hosts, which are network namespaces here: they talk over mutual TLS, and
 * nothing else reaches the back end.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathOf, Running, run } from '../helpers/programs.ts';

const FE_HOST = '10.231.7.1';
const BE_HOST = '10.231.7.2';
/** Of this process alone: two runs at once must not take each other's hosts away. */
const NAMES = [`enc-server-ts-fe-${process.pid}`, `enc-server-ts-be-${process.pid}`] as const;

function ip(...args: string[]): boolean {
  return spawnSync('ip', args, { encoding: 'utf8' }).status === 0;
}

/** Makes the two hosts; false where this machine does not let us. */
function makeHosts(): boolean {
  const [fe, be] = NAMES;
  return (
    ip('netns', 'add', fe) &&
    ip('netns', 'add', be) &&
    ip('link', 'add', 'est0', 'netns', fe, 'type', 'veth', 'peer', 'name', 'est1', 'netns', be) &&
    ip('-n', fe, 'address', 'add', `${FE_HOST}/24`, 'dev', 'est0') &&
    ip('-n', be, 'address', 'add', `${BE_HOST}/24`, 'dev', 'est1') &&
    NAMES.every((name) => ip('-n', name, 'link', 'set', 'lo', 'up')) &&
    ip('-n', fe, 'link', 'set', 'est0', 'up') &&
    ip('-n', be, 'link', 'set', 'est1', 'up')
  );
}

function removeHosts(): void {
  for (const name of NAMES) ip('netns', 'delete', name);
}

/** A command that runs on one of the hosts. */
function on(host: (typeof NAMES)[number], program: Parameters<typeof pathOf>[0]) {
  const command = ['ip', 'netns', 'exec', host, process.execPath, pathOf(program)] as const;
  return { command: command as unknown as [string, ...string[]] };
}

test('two hosts over mutual TLS; nothing else reaches the back end', async (t) => {
  if (!makeHosts()) {
    removeHosts();
    t.skip('no network namespaces: this takes iproute2 and root');
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-hosts-'));
  const [feHost, beHost] = NAMES;
  const tls = join(folder, 'tls');
  const started: Running[] = [];
  try {
    const hosts = ['--host', FE_HOST, '--host', BE_HOST];
    assert.equal((await run('enc-server', ['keys', 'tls-init', '--out', tls, ...hosts])).code, 0);
    const tokenFile = join(folder, 'token');
    const scopes = ['--scopes', 'store,retrieve', '--data-dir', join(folder, 'fe')];
    const create = ['tokens', 'create', ...scopes, '--out', tokenFile];
    assert.equal((await run('enc-server', create)).code, 0);

    const beFlags = ['--host', BE_HOST, '--data-dir', join(folder, 'be'), '--tls', tls];
    const be = new Running('be-server', beFlags, on(beHost, 'be-server'));
    started.push(be);
    await be.saw(/be listening on/);
    const feFlags = ['--host', FE_HOST, '--data-dir', join(folder, 'fe'), '--tls', tls, '--auth'];
    const fe = new Running(
      'fe-server',
      [...feFlags, '--be', `${BE_HOST}:8888`],
      on(feHost, 'fe-server'),
    );
    started.push(fe);
    await fe.saw(/fe listening on .*keyring new/);

    const ca = ['--tls-ca', join(tls, 'ca.pem')];
    const toFe = ['--server', `${FE_HOST}:7777`, ...ca, '--token-file', tokenFile];
    const key = join(folder, 'key');
    const store = ['store', '--id', 'alice', '--record', 'across', '--key-out', key, ...toFe];
    const stored = await run('fe-client', store, on(beHost, 'fe-client'));
    assert.equal(stored.code, 0, stored.stderr);
    const retrieve = ['retrieve', '--id', 'alice', '--key-file', key, ...toFe];
    const got = await run('fe-client', retrieve, on(beHost, 'fe-client'));
    assert.equal(got.stdout.toString(), 'across', got.stderr);
    // Beyond loopback, an ID is not enough to replace a record.
    const replace = ['store', '--id', 'alice', '--record', 'x', ...toFe];
    assert.equal((await run('fe-client', replace, on(beHost, 'fe-client'))).code, 6);

    // From the front end's own host: without TLS, without a certificate, with another authority's.
    const toBe = ['store', '--id', 'x', '--record', 'y', '--server', `${BE_HOST}:8888`];
    const plain = await run('be-client', toBe, on(feHost, 'be-client'));
    assert.equal(plain.code, 6);
    assert.match(plain.stderr, /NOT_ALLOWED only TLS is spoken here/);
    const bare = await run('be-client', [...toBe, ...ca], on(feHost, 'be-client'));
    assert.equal(bare.code, 6);
    assert.match(bare.stderr, /UNAUTHENTICATED/);
    const foreign = join(folder, 'foreign');
    await run('enc-server', ['keys', 'tls-init', '--out', foreign]);
    const theirs = ['--tls-cert', join(foreign, 'fe.pem'), '--tls-key', join(foreign, 'fe.key')];
    const stranger = await run('be-client', [...toBe, ...ca, ...theirs], on(feHost, 'be-client'));
    assert.equal(stranger.code, 6);
    assert.match(stranger.stderr, /client certificate is not valid/);
    const ours = ['--tls-cert', join(tls, 'fe.pem'), '--tls-key', join(tls, 'fe.key')];
    const known = await run('be-client', [...toBe, ...ca, ...ours], on(feHost, 'be-client'));
    assert.equal(known.code, 0, known.stderr);
  } finally {
    for (const running of started.reverse()) await running.killAll();
    removeHosts();
    await rm(folder, { recursive: true, force: true });
  }
});
