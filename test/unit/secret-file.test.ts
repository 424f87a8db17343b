/** Files of secrets that commands change: whose they are, what they may be, and links to them. */
import assert from 'node:assert/strict';
import {
  access,
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { changeTokens } from '../../lib/auth/token-file.ts';
import { writeSynced } from '../../lib/durable-file.ts';
import { othersMayUse, refuseOthers, replaceFile, withFileLock } from '../../lib/secret-file.ts';
import { withFolder } from '../helpers/store-values.ts';

const notRoot = process.geteuid?.() === 0 ? false : 'only root gives files away';

test('a file that root replaces stays its owner’s', { skip: notRoot }, async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'tokens.json');
    await writeFile(path, 'old', { mode: 0o600 });
    await chown(path, 1234, 2345);
    await replaceFile(path, 'new');
    const { uid, gid, mode } = await stat(path);
    assert.deepEqual([uid, gid, mode & 0o777], [1234, 2345, 0o600]);
  });
});

test('a new file of tokens, and no other, is for the folder’s owner', {
  skip: notRoot,
}, async () => {
  await withFolder(async (folder) => {
    await chown(folder, 1234, 2345);
    await changeTokens(join(folder, 'tokens.json'), () => []);
    await replaceFile(join(folder, 'other'), 'new');
    const tokens = await stat(join(folder, 'tokens.json'));
    assert.deepEqual([tokens.uid, tokens.gid], [1234, 2345]);
    assert.equal((await stat(join(folder, 'other'))).uid, 0);
  });
});

test('through a link, what it leads to is replaced, and locked', async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, 'far'));
    const [path, link] = [join(folder, 'far', 'tokens.json'), join(folder, 'link')];
    await writeFile(path, 'old', { mode: 0o600 });
    await symlink(path, link);
    await withFileLock(link, async () => {
      await access(`${path}.lock`);
      await replaceFile(link, 'new');
    });
    assert.ok((await lstat(link)).isSymbolicLink());
    assert.equal(await readFile(path, 'utf8'), 'new');
    assert.deepEqual(await readdir(join(folder, 'far')), ['tokens.json']);
    assert.deepEqual(await readdir(folder), ['far', 'link']);
  });
});

test('a link to a file that is not there yet stays, and the file is made', async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, 'far'));
    await symlink('far/second', join(folder, 'first'));
    await symlink('made', join(folder, 'far', 'second'));
    await withFileLock(join(folder, 'first'), async () => {
      await access(join(folder, 'far', 'made.lock'));
      await replaceFile(join(folder, 'first'), 'new');
    });
    assert.ok((await lstat(join(folder, 'first'))).isSymbolicLink());
    assert.equal(await readFile(join(folder, 'far', 'made'), 'utf8'), 'new');
    assert.deepEqual(await readdir(join(folder, 'far')), ['made', 'second']);
  });
});

test('a lock that somebody has removed is no failure of what was done under it', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'tokens.json');
    assert.equal(await withFileLock(path, () => rm(`${path}.lock`).then(() => 'done')), 'done');
    assert.deepEqual(await readdir(folder), []);
  });
});

test('what lies where the new file is written is neither followed nor kept', async () => {
  await withFolder(async (folder) => {
    const [path, other] = [join(folder, 'tokens.json'), join(folder, 'other')];
    await writeFile(`${path}.new`, 'left over');
    await chmod(`${path}.new`, 0o666);
    await replaceFile(path, 'first');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await writeFile(other, 'mine');
    await symlink(other, `${path}.new`);
    await replaceFile(path, 'second');
    assert.equal(await readFile(other, 'utf8'), 'mine');
    assert.ok((await lstat(path)).isFile());
    assert.equal(await readFile(path, 'utf8'), 'second');
  });
});

test('a new file that is there already is left alone, and one that fails is taken away', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'key');
    await writeFile(path, 'old');
    await assert.rejects(writeSynced(path, 'new'), { code: 'EEXIST' });
    assert.equal(await readFile(path, 'utf8'), 'old');
    const wrong = { uid: -2, gid: -2 };
    await assert.rejects(writeSynced(join(folder, 'failed'), 'new', 0o600, wrong));
    assert.deepEqual(await readdir(folder), ['key']);
  });
});

test('a file is for its owner only if nobody else has any right to it', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'secret');
    await writeFile(path, 'secret');
    for (const mode of [0o600, 0o400, 0o700]) {
      await chmod(path, mode);
      assert.equal(othersMayUse(await stat(path)), false);
      refuseOthers(path, await stat(path));
    }
    const refused = {
      code: 'FILE_ERROR',
      message: `others may read ${path}`,
      hint: `chmod 600 ${path}`,
    };
    for (const mode of [0o640, 0o620, 0o610, 0o604, 0o602, 0o601]) {
      await chmod(path, mode);
      const status = await stat(path);
      assert.equal(othersMayUse(status), true);
      assert.throws(() => refuseOthers(path, status), refused);
    }
  });
});
