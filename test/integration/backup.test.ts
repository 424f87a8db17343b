/** `enc-server backup` as an operator runs it. */
import assert from 'node:assert/strict';
import { access, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from '../faults/servers.ts';
import { cleanEnv, pathOf, type RunningUp, run, runCommand, startUp } from '../helpers/programs.ts';

const DIST = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
let up: RunningUp;
let be: string[];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-backup-'));
  up = await startUp(join(folder, 'data'));
  be = ['--be', up.toBe.at(-1) ?? ''];
});
after(async () => {
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

const file = (name: string) => join(folder, name);
const isThere = (name: string) =>
  access(file(name)).then(
    () => true,
    () => false,
  );

async function backup(...args: string[]) {
  const { code, stdout, stderr } = await run('enc-server', ['backup', ...args]);
  return { code, stdout: stdout.toString(), stderr };
}

test('a backup is made, verified, and restored into another back end', async () => {
  assert.equal((await backup('key', '--out', file('key'))).code, 0);
  assert.equal((await stat(file('key'))).mode & 0o777, 0o600);
  assert.equal((await backup('key', '--out', file('key'))).code, 2, 'never overwritten');
  await run('fe-client', ['store', '--id', 'alice', '--record', 'x', ...up.toFe]);
  const key = ['--key-file', file('key')];
  const made = await backup('--out', file('b'), ...key, ...be);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^backed up 1 items, \d+ bytes\nsha256 [0-9a-f]{64}\n$/);
  assert.match(made.stderr, /the keyring is not in it/);
  assert.equal((await stat(file('b'))).mode & 0o777, 0o600);
  const again = await backup('--out', file('b'), ...key, ...be);
  assert.equal(again.code, 2);
  assert.equal((await backup('--out', file('b'), '--force', ...key, ...be)).code, 0);
  const verified = await backup('verify', file('b'), ...key, '--json');
  assert.deepEqual([JSON.parse(verified.stdout).items, verified.code], [1, 0]);
  assert.equal((await backup('restore', file('b'), ...key, ...be)).code, 7);

  const other = new ServerProcess(DIST, 'be', ['--data-dir', file('other')], {});
  await other.start();
  try {
    const there = ['--be', `127.0.0.1:${other.port}`];
    const restored = await backup('restore', file('b'), ...key, ...there);
    assert.equal(restored.code, 0, restored.stderr);
    assert.match(restored.stdout, /^restored 1 items, 0 had ended\n$/);
    assert.match(restored.stderr, /are back/);
    assert.equal((await backup('restore', file('b'), '--overwrite', ...key, ...there)).code, 0);
  } finally {
    await other.end('SIGKILL');
  }
});

test('what is wrong with the command line, the key or the server is told, and leaves no file', async () => {
  await backup('key', '--out', file('key2'));
  const key = ['--key-file', file('key2')];
  assert.equal((await backup('--out', file('c'), ...be)).code, 2, 'sealed under nothing');
  const both = [...key, '--passphrase-file', file('key2')];
  assert.equal((await backup('--out', file('c'), ...both, ...be)).code, 2);
  assert.equal((await backup('verify', file('b'), ...key)).code, 4, 'another key');
  assert.equal((await backup('--out', file('c'), ...key, '--be', '127.0.0.1:1')).code, 5);
  assert.equal((await backup('--out', '/nowhere/c', ...key, ...be)).code, 2);
  await writeFile(file('empty'), '\n');
  assert.equal(
    (await backup('--out', file('c'), '--passphrase-file', file('empty'), ...be)).code,
    2,
  );
  const atFe = await backup('--out', file('c'), ...key, '--be', up.toFe.at(-1) ?? '');
  assert.notEqual(atFe.code, 0);
  assert.deepEqual([await isThere('c'), await isThere('c.part')], [false, false]);
  assert.equal((await backup()).code, 2);
  assert.match((await backup('--help')).stdout, /create .*verify .*restore /s);
});

test('a full disk leaves neither the file nor half of it', async () => {
  const large = file('large');
  await writeFile(large, Buffer.alloc(300_000, 7));
  await run('fe-client', ['store', '--id', 'large', '--file', large, ...up.toFe]);
  await backup('key', '--out', file('key3'));
  const args = ['backup', '--out', file('d'), '--key-file', file('key3'), ...be];
  // No file may become larger than 100 KiB.
  const shell = ['-c', 'ulimit -f 200 && exec "$0" "$@"', process.execPath, pathOf('enc-server')];
  const { code, stderr } = await runCommand('sh', [...shell, ...args], { env: cleanEnv() });
  assert.equal(code, 2, stderr.toString());
  assert.match(stderr.toString(), /FILE_ERROR cannot write/);
  assert.deepEqual([await isThere('d'), await isThere('d.part')], [false, false]);
});
