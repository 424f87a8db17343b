import assert from 'node:assert/strict';
import { mkdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { lockFolder, SOCKET_NAME } from '../../lib/store/folder-lock.ts';
import { metaKey } from '../../lib/store/meta.ts';
import { openStore } from '../../lib/store/open.ts';
import { StoreProcess } from '../helpers/store-process.ts';
import { recordKey, rejectsWith, value, withFolder } from '../helpers/store-values.ts';

const openLevel = (folder: string) => openStore({ kind: 'level', folder, reserveBytes: 4096 });

describe('the folder of a store', () => {
  it('is made for its owner alone, with all there is to it', () =>
    withFolder(async (parent) => {
      const folder = join(parent, 'a', 'b');
      const store = await openLevel(folder);
      for (const path of [folder, join(parent, 'a'), join(folder, 'db')]) {
        assert.equal((await stat(path)).mode & 0o777, 0o700);
      }
      assert.equal((await stat(join(folder, SOCKET_NAME))).mode & 0o777, 0o600);
      assert.equal((await store.get(metaKey('store-id')))?.head.length, 16);
      assert.ok((await store.stats()).bytes > 0);
      assert.equal((await store.stats()).place, folder);
      await store.close();
      await assert.rejects(stat(join(folder, SOCKET_NAME)), { code: 'ENOENT' });
    }));

  it('is refused a second time in one process, by any name, and stays whole', () =>
    withFolder(async (parent) => {
      const folder = join(parent, 'real');
      const store = await openLevel(folder);
      const alias = join(parent, 'alias');
      await symlink(folder, alias);
      for (const name of [folder, alias, join(folder, '..', 'real')]) {
        await assert.rejects(openLevel(name), (thrown) => {
          assert.ok(thrown instanceof EncServerError);
          assert.equal(thrown.code, 'FOLDER_LOCKED');
          assert.ok(thrown.message.includes(folder));
          return true;
        });
      }
      // The refusals did not cost the first one its lock.
      const other = new StoreProcess(['hold', folder]);
      await other.until((lines) => lines.length === 1);
      assert.match(other.lines[0] ?? '', /^error FOLDER_LOCKED .*another server/);
      await other.kill();
      await store.put(recordKey(1), value('x'));
      await store.close();
      await (await openLevel(alias)).close();
    }));

  it('is refused while another process has it, and free once that was killed', () =>
    withFolder(async (folder) => {
      const other = new StoreProcess(['hold', folder]);
      await other.until((lines) => lines.includes('open'));
      await rejectsWith(openLevel(folder), 'FOLDER_LOCKED');
      await other.kill();
      assert.ok((await stat(join(folder, SOCKET_NAME))).isSocket());
      const store = await openLevel(folder);
      await store.close();
    }));

  it("is refused by LevelDB's own lock where the socket is gone", () =>
    withFolder(async (folder) => {
      const other = new StoreProcess(['hold', folder]);
      await other.until((lines) => lines.includes('open'));
      await rm(join(folder, SOCKET_NAME));
      await rejectsWith(openLevel(folder), 'FOLDER_LOCKED');
      await other.kill();
    }));

  it('is refused by the socket alone where this process does not know of it', () =>
    withFolder(async (folder) => {
      const server = createServer().listen(join(folder, SOCKET_NAME));
      await rejectsWith(lockFolder(folder), 'FOLDER_LOCKED');
      await new Promise((resolve) => server.close(resolve));
      await (await lockFolder(folder)).release();
    }));

  it('may have a path longer than a socket can', () =>
    withFolder(async (parent) => {
      const folder = join(parent, 'x'.repeat(100), 'y'.repeat(100));
      const store = await openLevel(folder);
      assert.ok((await stat(join(folder, SOCKET_NAME))).isSocket());
      const other = new StoreProcess(['hold', folder]);
      await other.until((lines) => lines.length === 1);
      assert.match(other.lines[0] ?? '', /^error FOLDER_LOCKED/);
      await other.kill();
      await store.close();
      await assert.rejects(stat(join(folder, SOCKET_NAME)), { code: 'ENOENT' });
    }));

  it('is left alone when it is no folder, or a file stands in the way', () =>
    withFolder(async (parent) => {
      const file = join(parent, 'file');
      await writeFile(file, 'mine');
      await rejectsWith(openLevel(file), 'FILE_ERROR');
      const folder = join(parent, 'folder');
      await mkdir(folder);
      await writeFile(join(folder, SOCKET_NAME), 'mine');
      await rejectsWith(openLevel(folder), 'FILE_ERROR');
      assert.equal((await stat(join(folder, SOCKET_NAME))).size, 4);
      await rejectsWith(openStore({ kind: 'level' }), 'BAD_CONFIG');
      await rejectsWith(openStore({ kind: 'mongo' }), 'BAD_CONFIG');
    }));

  it('is released when the database does not open, or is of a newer format', () =>
    withFolder(async (folder) => {
      const store = await openLevel(folder);
      const newer = { head: Buffer.from('00000002', 'hex'), body: Buffer.alloc(0), expiryMs: 0 };
      await store.put(metaKey('format'), newer);
      await store.close();
      await rejectsWith(openLevel(folder), 'BAD_CONFIG');
      await rejectsWith(openLevel(folder), 'BAD_CONFIG');
      await writeFile(join(folder, 'db', 'CURRENT'), 'no manifest');
      await rejectsWith(openLevel(folder), 'STORE_DAMAGED');
      await (await lockFolder(folder)).release();
    }));

  it('draws a warning when others can look into it', () =>
    withFolder(async (parent) => {
      const folder = join(parent, 'open');
      await mkdir(folder, { mode: 0o755 });
      const logged: string[] = [];
      const log = (_level: string, message: string) => logged.push(message);
      await (await lockFolder(folder, log)).release();
      assert.match(logged.join(), /chmod 700/);
    }));
});
