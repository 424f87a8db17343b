/** A rotation as a person does it, and as it goes wrong: cut off, in the wrong order, under load. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Running, type RunningUp, run, runCommand, startUp, until } from '../helpers/programs.ts';
import { metricsOf, sampleIn } from '../helpers/workers.ts';

let folder: string;
let up: RunningUp;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-keys-'));
  up = await startUp(join(folder, 'data'));
});
after(async () => {
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

async function keys(...args: string[]) {
  const [, be = ''] = up.toBe;
  const flags = ['--data-dir', join(folder, 'data'), '--be', be];
  const { code, stdout, stderr } = await run('enc-server', ['keys', ...args, ...flags]);
  return { code, stdout: stdout.toString(), stderr };
}

async function feClient(...args: string[]) {
  const { code, stdout } = await run('fe-client', [...args, ...up.toFe]);
  return { code, stdout: stdout.toString() };
}

test('list, add, activate, rewrap, retire: plain and as JSON, in this order alone', async () => {
  const key = join(folder, 'alice.key');
  await feClient('store', '--id', 'alice', '--record', 'hello', '--key-out', key);
  const retrieve = ['retrieve', '--id', 'alice', '--key-file', key];
  const listed = await keys('list');
  assert.match(listed.stdout, /^keyring [0-9a-f]{32}, epoch 1\nSECRET OF +NUMBER +STATE\n/);
  assert.match(listed.stdout, /^pseudonyms +1 +active$/m);
  assert.equal((await keys('activate')).code, 7);
  assert.equal((await keys('rewrap')).code, 7);
  assert.equal((await keys('retire')).code, 7);
  assert.equal((await keys('add')).stdout, 'epoch 2: 1 active, 2 pending\n');
  assert.equal((await keys('add')).code, 7);
  const activated = await keys('activate', '--wait', '20s', '--json');
  assert.equal(activated.code, 0, activated.stderr);
  const { epoch, entries } = JSON.parse(activated.stdout);
  assert.deepEqual([epoch, entries[0].state, entries[1].state], [3, 'old', 'active']);
  assert.equal((await feClient(...retrieve)).stdout, 'hello');
  const early = await keys('retire');
  assert.equal(early.code, 7);
  assert.match(early.stderr, /records remain under entry 1[\s\S]*keys rewrap/);
  assert.equal((await keys('rewrap')).stdout, 'moved 1 records, 0 failed\n');
  assert.deepEqual(JSON.parse((await keys('rewrap', '--json')).stdout), {
    moved: 0,
    failed: [],
    damagedKeys: [],
    complete: true,
  });
  assert.equal((await keys('retire')).stdout, 'epoch 4: 1 retired, 2 active\n');
  assert.equal((await feClient(...retrieve)).stdout, 'hello');
  for (const wrong of [
    ['--rate', '0'],
    ['--rate', 'fast'],
    ['--be', 'nowhere'],
  ]) {
    assert.equal((await keys('rewrap', ...wrong)).code, 2);
  }
  assert.equal((await keys('list', '--keyring', join(folder, 'none'))).code, 7);
});

test('a rewrap that is killed goes on where it was', async () => {
  const count = 200;
  const stores = Array.from({ length: count }, (_none, index) => `STORE64 many-${index} aGk=\n`);
  const [, fe = ''] = up.toFe;
  const port = fe.split(':').at(-1) ?? '';
  const said = await runCommand('node', ['-e', SAY, port], { input: stores.join('') });
  const drawn = said.stdout.toString().trim().split('\n');
  assert.equal(drawn.length, count);
  assert.equal((await keys('add')).code, 0);
  assert.equal((await keys('activate')).code, 0);
  const [, be = ''] = up.toBe;
  const puts = async () =>
    sampleIn(await metricsOf(up.bePort), 'requests_total', 'frames put ok') ?? 0;
  const before = await puts();
  const slow = ['--rate', '20', '--be', be, '--data-dir', join(folder, 'data')];
  const rewrap = new Running('enc-server', ['keys', 'rewrap', ...slow]);
  // What a process does in a fixed time is nothing at all on a machine that has much to do.
  await until('records to be moved', async () => (await puts()) >= before + 10 || undefined);
  await rewrap.killAll();
  const { stdout } = await keys('rewrap', '--json');
  const { moved, complete } = JSON.parse(stdout);
  assert.ok(complete && moved > 0 && moved < count, stdout);
  assert.equal((await keys('retire')).code, 0);
  const asks = drawn.map((key, index) => `RETRIEVE64 many-${index} ${key}\n`);
  const answers = await runCommand('node', ['-e', SAY, port], { input: asks.join('') });
  assert.equal(answers.stdout.toString(), 'aGk=\n'.repeat(count));
});

test('the secrets are sealed by a passphrase, and stay the same secrets', async () => {
  const [passphrase, other] = [join(folder, 'passphrase'), join(folder, 'other')];
  await writeFile(passphrase, 'correct horse battery staple\n');
  await writeFile(other, 'something else\n');
  const path = join(folder, 'data', 'fe', 'keyring.json');
  const before = JSON.parse(await readFile(path, 'utf8'));
  const seal = ['provider', 'passphrase', '--new-passphrase-file', passphrase];
  // What no setting can hold is refused before the file is touched.
  for (const text of ['two\nlines\n', 'a\ttab', '\0', '\n', Buffer.of(0xff, 0xfe, 0x41)]) {
    const bad = join(folder, 'bad');
    await writeFile(bad, text);
    assert.equal((await keys('provider', 'passphrase', '--new-passphrase-file', bad)).code, 2);
    assert.deepEqual(JSON.parse(await readFile(path, 'utf8')), before);
  }
  const { code, stdout, stderr } = await keys(...seal);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^epoch \d+: /);
  const text = await readFile(path, 'utf8');
  for (const { secret } of before.entries) assert.ok(!text.includes(secret));
  const refused = await keys('list');
  assert.equal(refused.code, 6);
  assert.match(refused.stderr, /KEYRING_LOCKED/);
  const variable = 'ENC_SERVER_TS_FESERVERCONFIGS_KEYRINGPASSPHRASE_FILE';
  const withFile = async (file: string, ...args: string[]) =>
    await run('enc-server', ['keys', ...args, '--data-dir', join(folder, 'data')], {
      env: { [variable]: file },
    });
  assert.equal((await withFile(other, 'list')).code, 6);
  assert.equal((await withFile(passphrase, 'list')).code, 0);
  assert.equal((await withFile(passphrase, 'provider', 'vault')).code, 2);
  assert.equal((await withFile(passphrase, 'provider', 'file')).code, 0);
  assert.deepEqual(JSON.parse(await readFile(path, 'utf8')), before);
});

/** Says its input to a port of this machine, line after line, and prints what is answered. */
const SAY = `
  const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1');
  process.stdin.pipe(socket).pipe(process.stdout);
`;

test('callers notice nothing of a rotation, on two front ends and without a second try', async () => {
  const rotation = fileURLToPath(new URL('../../bench/rotation.js', import.meta.url));
  const { code, stdout, stderr } = await runCommand(process.execPath, [rotation, '1500', '16']);
  assert.equal(code, 0, stderr);
  const { moved, verified, entries } = JSON.parse(stdout.toString());
  assert.ok(moved > 0 && verified >= 1_500);
  assert.deepEqual(
    entries.map(({ state }: { state: string }) => state),
    ['retired', 'active'],
  );
});
