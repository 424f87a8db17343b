/** `enc-server backup` as an operator runs it. */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { ServerProcess } from '../faults/servers.ts';
import { FrameProxy } from '../helpers/frame-proxy.ts';
import {
  cleanEnv,
  pathOf,
  Running,
  type RunningUp,
  run,
  runCommand,
  startUp,
} from '../helpers/programs.ts';

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
/** A file, and what it is called while it is written. */
const namesLike = async (name: string) =>
  (await readdir(folder)).filter((one) => one === name || one.startsWith(`${name}.`));

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
  assert.deepEqual(await namesLike('c'), []);
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
  assert.deepEqual(await namesLike('d'), []);
});

test('backups to one name at once do not touch each other, nor what lies where they are written', async () => {
  for (let number = 0; number < 8; number++) {
    const record = file(`record ${number}`);
    await writeFile(record, Buffer.alloc(2_000_000, number));
    await run('fe-client', ['store', '--id', `many ${number}`, '--file', record, ...up.toFe]);
  }
  await backup('key', '--out', file('key4'));
  const key = ['--key-file', file('key4')];
  // What a backup once wrote to first: a link to something else, or a leftover that others read.
  await writeFile(file('theirs'), 'theirs');
  await symlink(file('theirs'), file('e.part'));
  await writeFile(file('f.part'), '');
  await chmod(file('f.part'), 0o644);
  const [one, two, three] = await Promise.all(
    ['e', 'e', 'f'].map((name) => backup('--out', file(name), '--force', ...key, ...be)),
  );
  assert.deepEqual([one?.code, two?.code, three?.code], [0, 0, 0], `${one?.stderr}${two?.stderr}`);
  for (const name of ['e', 'f']) {
    assert.equal((await backup('verify', file(name), ...key)).code, 0);
    assert.equal((await stat(file(name))).mode & 0o777, 0o600);
    assert.deepEqual(await namesLike(name), [name, `${name}.part`]);
  }
  assert.equal(`${await readFile(file('theirs'))}`, 'theirs');
});

test('a backup that is stopped leaves nothing behind', async () => {
  await backup('key', '--out', file('key5'));
  const proxy = await FrameProxy.open(up.bePort);
  const link = ['--be', `127.0.0.1:${proxy.port}`];
  const args = ['backup', '--out', file('g'), '--key-file', file('key5'), ...link];
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    // In the midst of it, and it does not get further.
    const caught = proxy.hold(OPCODE.SNAPSHOT_GET);
    const running = new Running('enc-server', args);
    await caught;
    assert.equal((await namesLike('g')).length, 1);
    assert.equal(await running.stop(signal), null, 'ended by the signal');
    assert.deepEqual(await namesLike('g'), [], signal);
  }
  await proxy.close();
});

test('a file that is no backup key, or that others may read, is named and not used', async () => {
  await writeFile(file('blank'), '', { mode: 0o600 });
  const blank = await backup('--out', file('n'), '--key-file', file('blank'), ...be);
  assert.equal(blank.code, 2);
  assert.match(blank.stderr, /INVALID_KEY \S+\/blank is no backup key\n.*backup key makes one/);
  await backup('key', '--out', file('loose'));
  await chmod(file('loose'), 0o644);
  const loose = await backup('--out', file('n'), '--key-file', file('loose'), ...be);
  assert.equal(loose.code, 2);
  assert.match(loose.stderr, /FILE_ERROR others may read \S+\/loose\n.*chmod 600 \S+\/loose/);
  assert.deepEqual(await namesLike('n'), []);
  await chmod(file('loose'), 0o600);
  assert.equal((await backup('--out', file('n'), '--key-file', file('loose'), ...be)).code, 0);
});
