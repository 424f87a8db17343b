/** Files that take a record: what they stay to others, and what is left where one cannot take it. */
import assert from 'node:assert/strict';
import { type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFile,
  chmod,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openRecordFile } from '../../lib/cli/record-out.ts';
import { giveAway, notAsRoot } from '../helpers/somebody.ts';
import { withFolder } from '../helpers/store-values.ts';

const MODULE = new URL('../../lib/cli/record-out.js', import.meta.url).href;

async function write(path: string, record: string): Promise<void> {
  await (await openRecordFile(path)).write(Buffer.from(record));
}

/** A program of its own that opens a file for a record. */
function program(path: string, then: string): string[] {
  const open = `const file = await openRecordFile(${JSON.stringify(path)});`;
  const text = `import { openRecordFile } from ${JSON.stringify(MODULE)}; ${open} ${then}`;
  return [process.execPath, '--input-type=module', '--eval', text];
}

test('a file that is there keeps its owner, its mode and its other names', async () => {
  await withFolder(async (folder) => {
    const [path, other] = [join(folder, 'record'), join(folder, 'other')];
    await writeFile(path, 'before');
    await chmod(path, 0o640);
    await giveAway(path);
    await link(path, other);
    const before = await stat(path);
    for (const record of ['short', '', 'a longer record than before']) {
      await write(path, record);
      assert.equal(await readFile(other, 'utf8'), record);
      const { uid, gid, mode, ino } = await stat(path);
      assert.deepEqual([uid, gid, mode, ino], [before.uid, before.gid, before.mode, before.ino]);
    }
    assert.deepEqual(await readdir(folder), ['other', 'record']);
  });
});

test('a file that is there is replaced whole, with its owner and mode, also through a link', async () => {
  await withFolder(async (folder) => {
    const [path, name] = [join(folder, 'record'), join(folder, 'link')];
    await symlink('record', name);
    for (const mode of [0o600, 0o644, 0o4755]) {
      await writeFile(path, 'before');
      await giveAway(path);
      await chmod(path, mode);
      const before = await stat(path);
      const old = await open(path, 'r');
      await write(name, 'after');
      assert.equal(await old.readFile('utf8'), 'before');
      await old.close();
      assert.equal(await readFile(path, 'utf8'), 'after');
      const { uid, gid, mode: kept } = await stat(path);
      assert.deepEqual([uid, gid, kept], [before.uid, before.gid, before.mode]);
      assert.ok((await lstat(name)).isSymbolicLink());
      assert.deepEqual(await readdir(folder), ['link', 'record']);
    }
  });
});

test('a file that may have an access control list is written in place', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'record');
    await writeFile(path, 'before');
    await chmod(path, 0o640);
    const { ino } = await stat(path);
    await write(path, 'after');
    assert.deepEqual([(await stat(path)).ino, await readFile(path, 'utf8')], [ino, 'after']);
  });
});

test('a file of somebody else is written in place, and one that may not be written is kept', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'record');
    await writeFile(path, 'before');
    await chmod(path, 0o666);
    await chmod(folder, 0o777);
    const { uid, ino } = await stat(path);
    await notAsRoot(() => write(path, 'after'));
    assert.deepEqual([(await stat(path)).uid, await readFile(path, 'utf8')], [uid, 'after']);
    if (process.geteuid?.() === 0) assert.equal((await stat(path)).ino, ino);
    await giveAway(path);
    await chmod(path, 0o444);
    await notAsRoot(() => assert.rejects(openRecordFile(path), /cannot write .*\(EACCES\)/));
    assert.deepEqual(await readdir(folder), ['record']);
  });
});

test('a file in a folder that takes no new one is written', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'record');
    await writeFile(path, 'before');
    await giveAway(folder, path);
    await chmod(folder, 0o555);
    await notAsRoot(async () => {
      await write(path, 'after');
      await assert.rejects(openRecordFile(join(folder, 'new')), /cannot write .*\(EACCES\)/);
    });
    await chmod(folder, 0o700);
    assert.equal(await readFile(path, 'utf8'), 'after');
  });
});

test('a folder that may not be read takes a new file', async () => {
  await withFolder(async (folder) => {
    await giveAway(folder);
    await chmod(folder, 0o300);
    await notAsRoot(() => write(join(folder, 'record'), 'new'));
    await chmod(folder, 0o700);
    assert.equal(await readFile(join(folder, 'record'), 'utf8'), 'new');
    assert.deepEqual(await readdir(folder), ['record']);
  });
});

test('a link to a file that is not there yet stays, and the file is made', async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, 'far'));
    await symlink('far/record', join(folder, 'link'));
    await write(join(folder, 'link'), 'new');
    assert.ok((await lstat(join(folder, 'link'))).isSymbolicLink());
    assert.equal(await readFile(join(folder, 'far', 'record'), 'utf8'), 'new');
    assert.deepEqual(await readdir(join(folder, 'far')), ['record']);
  });
});

test('what is open already is written on', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'record');
    const then = `await file.write(Buffer.from('record'));`;
    for (const [name, where] of [
      ['/dev/stdout', 1],
      ['/dev/stderr', 2],
      ['/proc/self/fd/3', 3],
      ['/dev/fd/3', 3],
    ] as const) {
      const file = await open(path, 'w');
      await file.write('head ');
      const stdio: StdioOptions = ['ignore', 'ignore', 'inherit', 'ignore'];
      stdio[where] = file.fd;
      const [command = '', ...args] = program(name, then);
      assert.equal(spawnSync(command, args, { stdio }).status, 0, name);
      await file.close();
      await appendFile(path, ' tail');
      assert.equal(await readFile(path, 'utf8'), 'head record tail', name);
    }
    await assert.rejects(openRecordFile('/dev/fd/999999'), /cannot write .*\(EBADF\)/);
  });
});

test('a file for which there is no room is what it was', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'record');
    const then = `await file.write(Buffer.alloc(100_000, 'x'));`;
    const limited = ['-c', 'ulimit -f 8; exec "$@"', 'sh', ...program(path, then)];
    for (const [before, mode] of [
      ['before', 0o640],
      ['before', 0o600],
      ['before'.repeat(20_000), 0o600],
    ] as const) {
      await writeFile(path, before);
      await chmod(path, mode);
      const { stderr } = spawnSync('sh', limited, { encoding: 'utf8' });
      assert.match(stderr, /cannot write .*\(EFBIG\)/);
      assert.ok((await readFile(path, 'utf8')) === before);
      assert.deepEqual(await readdir(folder), ['record']);
    }
  });
});

test('a disk without room for another file takes the record in place', async (t) => {
  await withFolder(async (folder) => {
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
    if (mounted.status !== 0) return t.skip('cannot mount a tmpfs');
    try {
      const path = join(folder, 'record');
      await writeFile(path, Buffer.alloc(700_000, 'a'), { mode: 0o600 });
      const file = await openRecordFile(path);
      await file.write(Buffer.alloc(700_000, 'b'));
      assert.ok((await readFile(path)).equals(Buffer.alloc(700_000, 'b')));
      assert.deepEqual(await readdir(folder), ['record']);
    } finally {
      spawnSync('umount', [folder]);
    }
  });
});

test('a signal before the record has come leaves nothing behind', async () => {
  await withFolder(async (folder) => {
    const then = "process.stdout.write('open'); setInterval(() => file, 1_000);";
    const [command = '', ...args] = program(join(folder, 'record'), then);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      assert.match(String(await readdir(folder)), /^\.enc-[0-9a-f]+\.part$/);
      child.kill(signal);
      assert.deepEqual(await once(child, 'close'), [null, signal]);
      assert.deepEqual(await readdir(folder), [], signal);
    }
  });
});
