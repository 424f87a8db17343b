import assert from 'node:assert/strict';
import { readFile, stat, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Reserve } from '../../lib/store/reserve.ts';
import { withFolder } from '../helpers/store-values.ts';

const BYTES = 3 * 1024 * 1024 + 17;

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

describe('the reserve', () => {
  it('is really on the disk, private, and stays for the next start', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'reserve');
      const reserve = new Reserve({ path, bytes: BYTES });
      await reserve.check();
      const { size, mode, blocks } = await stat(path);
      assert.equal(size, BYTES);
      assert.ok(blocks * 512 >= BYTES);
      assert.equal(mode & 0o777, 0o600);
      assert.deepEqual([reserve.isLow, reserve.isFull], [false, false]);
      await reserve.close();
      const before = await readFile(path);
      const next = new Reserve({ path, bytes: BYTES });
      await next.check();
      await next.close();
      assert.ok((await readFile(path)).equals(before));
    }));

  it('is made whole when it was cut or has holes', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'reserve');
      await writeFile(path, 'cut');
      await truncate(path, BYTES);
      const reserve = new Reserve({ path, bytes: BYTES });
      await reserve.check();
      await reserve.close();
      const { size, blocks } = await stat(path);
      assert.equal(size, BYTES);
      assert.ok(blocks * 512 >= BYTES);
    }));

  it('is given away once, and made again when there is room', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'reserve');
      const reserve = new Reserve({ path, bytes: BYTES, checkMs: 60_000 });
      await reserve.check();
      assert.equal(await reserve.release(), true);
      assert.equal(await exists(path), false);
      assert.equal(reserve.isFull, true);
      assert.equal(await reserve.release(), false);
      await reserve.check();
      assert.equal(await exists(path), true);
      assert.equal(reserve.isFull, false);
      await reserve.close();
    }));

  it('is not made where it would take the last room, and says so', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'reserve');
      const { bavail, bsize } = await statfs(folder);
      const logged: string[] = [];
      const log = (_level: string, message: string) => logged.push(message);
      const reserve = new Reserve({ path, bytes: 2 * bavail * bsize, log });
      await reserve.noteFailedWrite();
      assert.equal(await exists(path), false);
      assert.deepEqual([reserve.isLow, reserve.isFull], [true, true]);
      assert.deepEqual(logged, ['the disk is nearly full']);
      await reserve.close();
    }));

  it('says when the disk cannot be asked, and changes nothing', () =>
    withFolder(async (folder) => {
      const logged: string[] = [];
      const log = (_level: string, message: string) => logged.push(message);
      const reserve = new Reserve({ path: join(folder, 'gone', 'reserve'), bytes: BYTES, log });
      await reserve.noteFailedWrite();
      await reserve.close();
      assert.deepEqual([reserve.isLow, reserve.isFull], [false, false]);
      assert.ok(logged.includes('the free space of the disk could not be checked'));
    }));
});
