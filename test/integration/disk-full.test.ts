/** A disk without room under the back end: writes fail in words, nothing acknowledged is lost. */
import assert from 'node:assert/strict';
import { mkdir, open, rm, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { RESERVE_BYTES } from '../../lib/store/reserve.ts';
import { http } from '../helpers/http.ts';
import { run, runCommand, startUp, until } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const MIB = 1024 * 1024;
const DISK_BYTES = 3 * RESERVE_BYTES + 16 * MIB;
const RECORD_BYTES = 64 * 1024;

/** Takes what room there is, but for `leftBytes`. */
async function fill(path: string, folder: string, leftBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const file = await open(path, 'w');
  const chunk = Buffer.alloc(MIB, 1);
  for (let left = bavail * bsize - leftBytes; left > 0; left -= chunk.length) {
    await file.write(chunk, 0, Math.min(left, chunk.length));
  }
  await file.close();
}

describe('a full disk', () => {
  it('fails writes, serves reads, and is recovered from', async (t) => {
    const folder = await temporaryFolder();
    const disk = join(folder, 'be');
    await mkdir(disk);
    const options = ['-o', `size=${DISK_BYTES},mode=700`];
    const mounted = await runCommand('mount', ['-t', 'tmpfs', ...options, 'tmpfs', disk]);
    if (mounted.code !== 0) {
      await rm(folder, { recursive: true });
      t.skip('no file system can be mounted here');
      return;
    }
    let up = await startUp(folder);
    let client = new FeClient({ address: { host: '127.0.0.1', port: up.fePort } });
    const kept = new Map<string, Buffer>();
    const store = async (id: string) => {
      const { key } = await client.store(id, Buffer.alloc(RECORD_BYTES, id));
      kept.set(id, key);
    };
    const assertKept = async () => {
      for (const [id, key] of kept) {
        const { record } = await client.retrieve(id, key);
        assert.ok(record.equals(Buffer.alloc(RECORD_BYTES, id)), id);
      }
    };
    try {
      await store('before');
      // The reserve of the back end is made in the background.
      await until('the reserve', async () => (await usedBytes(disk)) > RESERVE_BYTES || undefined);
      // Probes say so while there is still room for what is being written.
      await fill(join(disk, 'nearly'), disk, RESERVE_BYTES / 2);
      const nearly = await until('the probes', async () => await unready(up.fePort, up.bePort));
      assert.deepEqual(nearly, Array(2).fill(['store: the disk is nearly full']));
      const metrics = (await http(up.bePort, 'GET', '/metrics')).body.toString();
      assert.match(metrics, /^enc_server_ready 0$/m);
      await store('nearly full');
      await fill(join(disk, 'filler'), disk, 512 * 1024);

      let failure = '';
      for (let number = 0; failure === ''; number++) {
        await store(`filling-${number}`).catch((error) => {
          failure = error.code;
        });
      }
      assert.match(failure, /^(UNKNOWN_OUTCOME|UNAVAILABLE)$/);
      const refused = await run('fe-client', ['store', '--id', 'x', '--record', 'y', ...up.toFe]);
      assert.equal(refused.code, 5);
      assert.match(refused.stderr, /fe-client: (UNKNOWN_OUTCOME|UNAVAILABLE) /);

      // While the database is opened again, reads wait for it.
      await until(
        'reads',
        async () =>
          await assertKept().then(
            () => true,
            () => undefined,
          ),
      );
      await unlink(join(disk, 'filler'));
      await unlink(join(disk, 'nearly'));
      await until(
        'writes',
        async () =>
          await store('after').then(
            () => true,
            () => undefined,
          ),
      );
      await until('the probes', async () => {
        return (await unready(up.fePort, up.bePort)) === undefined || undefined;
      });
      await assertKept();

      client.close();
      await up.killAll();
      up = await startUp(folder);
      client = new FeClient({ address: { host: '127.0.0.1', port: up.fePort } });
      await assertKept();
      t.diagnostic(`${kept.size} records kept`);
    } finally {
      client.close();
      await up.killAll();
      await until('the disk to be free', async () => {
        return (await runCommand('umount', [disk])).code === 0 || undefined;
      });
      await rm(folder, { recursive: true });
    }
  });
});

/** What each server waits for; undefined where one of them is ready. */
async function unready(...ports: number[]): Promise<string[][] | undefined> {
  const answers = await Promise.all(ports.map((port) => http(port, 'GET', '/readyz')));
  if (answers.some(({ status }) => status !== 503)) return undefined;
  return answers.map((answer) => answer.json<{ missing: string[] }>().missing);
}

async function usedBytes(folder: string): Promise<number> {
  const { blocks, bfree, bsize } = await statfs(folder);
  return (blocks - bfree) * bsize;
}
