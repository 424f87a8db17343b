/** `examples/`: each runs as it stands, from a folder where the package is installed. */
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cleanEnv, pathOf, type RunningUp, runCommand, startUp } from '../helpers/programs.ts';
import { pathInRepository } from '../helpers/repository.ts';
import { temporaryFolder } from '../helpers/servers.ts';

let folder: string;
let up: RunningUp;

before(async () => {
  folder = await temporaryFolder();
  up = await startUp(join(folder, 'data'));
  await cp(pathInRepository('examples'), join(folder, 'work'), { recursive: true });
  const bin = join(folder, 'work/node_modules/.bin');
  await mkdir(bin, { recursive: true });
  // A project of its own: whatever lies in the folders above is none of its business.
  await writeFile(join(folder, 'work/package.json'), '{ "type": "module" }');
  await symlink(pathInRepository('.'), join(folder, 'work/node_modules/enc-server-ts'));
  await symlink(pathOf('enc-server'), join(bin, 'enc-server-ts'));
});
after(async () => {
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

async function example(command: string, ...args: string[]): Promise<string> {
  const cwd = join(folder, 'work');
  const fe = up.toFe.at(-1) ?? '';
  const env = cleanEnv({ ENC_SERVER: fe });
  const { code, stdout, stderr } = await runCommand(command, args, { cwd, env });
  assert.equal(code, 0, stderr.toString());
  return stdout.toString();
}

const js = (name: string, ...args: string[]) => example(process.execPath, name, ...args);

test('client.js', async () => {
  const said = await js('client.js');
  assert.match(said, /retrieved: hello\nreplaced: true\nthe old key: WRONG_KEY\ndeleted: true\n$/);
});

test('notes.js', async () => {
  await js('notes.js', 'add', 'shopping', 'milk, bread');
  await js('notes.js', 'add', 'plan', 'sleep');
  assert.equal(await js('notes.js', 'list'), 'shopping\nplan\n');
  assert.equal(await js('notes.js', 'show', 'shopping'), 'milk, bread\n');
  await js('notes.js', 'remove', 'shopping');
  assert.equal(await js('notes.js', 'list'), 'plan\n');
  await js('notes.js', 'add', 'plan', 'sleep well');
  assert.equal(await js('notes.js', 'show', 'plan'), 'sleep well\n');
});

test('notes.js loses no note where it is cut off', async () => {
  await js('notes.js', 'add', 'diary', 'day one');
  const cwd = join(folder, 'work');
  const add = [process.execPath, 'notes.js', 'add', 'diary', 'day two'];
  // No file may grow: the first byte of the keys ends the program.
  const noRoom = ['-c', 'ulimit -c 0; ulimit -f 0; exec "$@"', 'sh', ...add];
  const here = { cwd, env: cleanEnv({ ENC_SERVER: up.toFe.at(-1) ?? '' }) };
  assert.notEqual((await runCommand('sh', noRoom, here)).code, 0);
  assert.equal(await js('notes.js', 'show', 'diary'), 'day one\n');
  // The new key is kept, and the service is not there: the note is still sealed by the old one.
  const nowhere = { cwd, env: cleanEnv({ ENC_SERVER: 'localhost:1' }) };
  assert.notEqual((await runCommand(process.execPath, add.slice(1), nowhere)).code, 0);
  assert.equal(await js('notes.js', 'show', 'diary'), 'day one\n');
  await js('notes.js', 'remove', 'diary');
});

test('bulk-import.js', async () => {
  assert.equal(await js('bulk-import.js'), 'stored 1000 of 1000\nthe last one: record 999\n');
});

test('one-time-secret.js', async () => {
  const said = await js('one-time-secret.js');
  const expected = [
    'can be read once: true',
    'the first reader: the code is 0000',
    'the second reader: ALREADY_READ',
  ];
  assert.equal(said, `${expected.join('\n')}\n`);
});

test('rotation.sh', async () => {
  const [be = '', fe = ''] = [up.toBe.at(-1), up.toFe.at(-1)];
  const said = await example('sh', 'rotation.sh', join(folder, 'data'), be, fe);
  assert.match(said, /epoch 4: 1 retired, 2 active\nstored before\nstored within\n$/);
});

test('there is a test for each', async () => {
  const names = (await readdir(pathInRepository('examples'))).filter(
    (name) => name !== 'README.md',
  );
  assert.deepEqual(names.sort(), [
    'bulk-import.js',
    'client.js',
    'notes.js',
    'one-time-secret.js',
    'rotation.sh',
  ]);
});
