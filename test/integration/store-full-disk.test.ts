import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openStore } from '../../lib/store/open.ts';
import { RESERVE_BYTES } from '../../lib/store/reserve.ts';
import { childBody } from '../helpers/store-child.ts';
import { acknowledged, StoreProcess } from '../helpers/store-process.ts';
import { recordKey, value, withFolder } from '../helpers/store-values.ts';

/**
 * What the test takes of its disk, and gives back to see whether the store recovers: room for the
 * reserve, and more than as much again. As much is left at first.
 */
const FILLER_BYTES = 2.5 * RESERVE_BYTES;
const DISK_BYTES = 2 * FILLER_BYTES;
/** A disk that is too small for a reserve. */
const TINY_DISK_BYTES = 32 * 1024 * 1024;
/** Far more than it takes; a store that never recovers should not stop everything. */
const TIMEOUT = { timeout: 120_000 };
const BODY_BYTES = 100_000;

/** Runs on a small disk of its own, where this user may mount one. */
async function withSmallDisk(
  t: TestContext,
  run: (disk: string) => Promise<void>,
  bytes = DISK_BYTES,
): Promise<void> {
  await withFolder(async (disk) => {
    const options = ['-t', 'tmpfs', '-o', `size=${bytes}`, 'enc-test', disk];
    const mounted = spawnSync('mount', options, { encoding: 'utf8' });
    if (mounted.status !== 0) {
      return t.skip(`cannot mount a tmpfs: ${mounted.stderr?.trim() || mounted.error?.message}`);
    }
    try {
      await run(disk);
    } finally {
      execFileSync('umount', [disk]);
    }
  });
}

/** Whether the store has filled its disk: it refuses to write, and reads on. */
function isRefused(lines: readonly string[]): boolean {
  return lines.includes('error UNAVAILABLE') && lines.includes('read');
}

async function checkAcknowledged(child: StoreProcess, folder: string): Promise<void> {
  const numbers = acknowledged(child.lines);
  assert.ok(numbers.length > 10);
  const store = await openStore({ kind: 'level', folder, reserveBytes: 4096 });
  for (const number of numbers) {
    const found = await store.get(recordKey(number));
    assert.ok(found?.body?.equals(childBody(number, BODY_BYTES)), `put ${number}`);
  }
  await store.close();
}

describe('a store on a full disk', () => {
  it('loses nothing acknowledged, reads on, and recovers when there is space', TIMEOUT, (t) =>
    withSmallDisk(t, async (disk) => {
      const folder = join(disk, 'store');
      const filler = join(disk, 'filler');
      await writeFile(filler, Buffer.alloc(FILLER_BYTES));
      const child = new StoreProcess(['fill', folder, String(BODY_BYTES)]);
      try {
        await child.until(isRefused);
        assert.ok(child.lines.includes('error UNKNOWN_OUTCOME'));
        assert.ok(child.lines.includes('unhealthy'));
        const before = acknowledged(child.lines).length;
        await rm(filler);
        await child.until((lines) => acknowledged(lines).length >= before + 20);
      } finally {
        await child.kill();
      }
      await checkAcknowledged(child, folder);
    }),
  );

  it('loses nothing acknowledged when it is killed while the disk is full', TIMEOUT, (t) =>
    withSmallDisk(t, async (disk) => {
      const folder = join(disk, 'store');
      const filler = join(disk, 'filler');
      await writeFile(filler, Buffer.alloc(FILLER_BYTES));
      const child = new StoreProcess(['fill', folder, String(BODY_BYTES)]);
      try {
        await child.until(isRefused);
      } finally {
        await child.kill();
      }
      await rm(filler);
      await checkAcknowledged(child, folder);
    }),
  );

  it('says to make room if it cannot start, and has everything once there is', TIMEOUT, (t) =>
    withSmallDisk(
      t,
      async (disk) => {
        const folder = join(disk, 'store');
        const filler = join(disk, 'filler');
        const store = await openStore({ kind: 'level', folder });
        await store.put(recordKey(1), value('kept'));
        await store.close();
        await assert.rejects(writeFile(filler, Buffer.alloc(TINY_DISK_BYTES)), { code: 'ENOSPC' });
        await assert.rejects(openStore({ kind: 'level', folder }), {
          code: 'FILE_ERROR',
          message: /No space left on device$/,
          hint: /^make room on the disk, .*nothing that was acknowledged is lost$/,
        });
        await rm(filler);
        const again = await openStore({ kind: 'level', folder });
        assert.equal((await again.get(recordKey(1)))?.body?.toString(), 'kept');
        await again.close();
      },
      TINY_DISK_BYTES,
    ),
  );
});
