/** The disk of an audit log is full: what `closed` and `open` each promise then. */
import assert from 'node:assert/strict';
import { mkdir, open, rm, statfs, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AuditLog } from '../../lib/audit/audit-log.ts';
import { initAudit } from '../../lib/audit/key-files.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { type AuditFiles, auditFilesIn, openLog, verify, writeLines } from '../helpers/audit.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http } from '../helpers/http.ts';
import { type RunningUp, runCommand, startUp, until } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const DISK_BYTES = 1024 * 1024;
/** More operations than fit into what is left. */
const TRIES_MAX = 10_000;

interface Scene {
  readonly up: RunningUp;
  readonly client: FeClient;
  readonly files: AuditFiles;
  readonly filler: string;
}

/** A folder with the files of a new log, on a small disk of its own. */
async function withSmallDisk(
  t: TestContext,
  work: (files: AuditFiles, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await temporaryFolder();
  const disk = join(folder, 'disk');
  await mkdir(disk);
  const options = ['-o', `size=${DISK_BYTES},mode=700`];
  const mounted = await runCommand('mount', ['-t', 'tmpfs', ...options, 'tmpfs', disk]);
  if (mounted.code !== 0) {
    await rm(folder, { recursive: true });
    t.skip(`no file system can be mounted here: ${mounted.stderr.trim()}`);
    return;
  }
  const files = auditFilesIn(disk);
  try {
    await initAudit(files);
    await work(files, folder);
  } finally {
    await until('the disk to be free', async () => {
      return (await runCommand('umount', [disk])).code === 0 || undefined;
    });
    await rm(folder, { recursive: true });
  }
}

/** Both servers, the front end with an audit log on a small disk. */
async function withServers(
  t: TestContext,
  auditFailure: 'open' | 'closed',
  work: (scene: Scene) => Promise<void>,
): Promise<void> {
  await withSmallDisk(t, async (files, folder) => {
    const config = join(folder, 'config.json');
    const settings = { auditLog: files.path, auditKeyFile: files.keyFile, auditFailure };
    await writeFile(config, JSON.stringify({ feServerConfigs: settings }));
    const up = await startUp(join(folder, 'data'), ['--config', config]);
    const address = { host: '127.0.0.1', port: up.fePort };
    const client = new FeClient({ address, attemptsMax: 1 });
    try {
      await work({ up, client, files, filler: join(files.folder, 'filler') });
      client.close();
      await up.stop();
      const { findings, lost } = await verify(files, { checkpoints: true, state: true });
      assert.deepEqual(findings, []);
      assert.equal(lost > 0, auditFailure === 'open');
    } finally {
      client.close();
      await up.killAll();
    }
  });
}

/** Leaves some room: for some dozens of lines, where nothing else is said. */
async function fill(path: string, folder: string, leftBytes = 16 * 1024): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const file = await open(path, 'a');
  await file.write(Buffer.alloc(Math.max(0, bavail * bsize - leftBytes)));
  // What the system says is free is not exact to the page.
  for (let isFull = leftBytes > 0; !isFull; ) {
    isFull = await file.write(Buffer.alloc(bsize)).then(
      ({ bytesWritten }) => bytesWritten < bsize,
      () => true,
    );
  }
  await file.close();
}

function lostBy(audit: AuditLog): number {
  const family = audit.families().find(({ name }) => name === 'enc_server_audit_lost_lines_total');
  const [told] = family?.values ?? [];
  return told !== undefined && 'value' in told ? told.value : Number.NaN;
}

async function metric({ up }: Scene, name: string): Promise<number> {
  const page = (await http(up.fePort, 'GET', '/metrics')).body.toString();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(page)?.[1]);
}

describe('an audit log on a full disk', () => {
  it('closed: nothing is answered that has no line, and all goes on when there is room', (t) =>
    withServers(t, 'closed', async (scene) => {
      const { client, files, filler } = scene;
      const { key } = await client.store('before', Buffer.from('x'));
      await fill(filler, files.folder);
      let answered = 1;
      const codes: string[] = [];
      while (codes.length < 3 && answered < TRIES_MAX) {
        await client.store(`n${answered}`, Buffer.from('x')).then(
          () => answered++,
          (error) => codes.push(error.code),
        );
      }
      // The first was done when the disk said no; nothing was begun after it.
      assert.deepEqual(codes, ['UNKNOWN_OUTCOME', 'UNAVAILABLE', 'UNAVAILABLE']);
      await assert.rejects(client.retrieve('before', key), { code: 'UNAVAILABLE' });
      assert.equal(await metric(scene, 'enc_server_audit_failing'), 1);
      await unlink(filler);
      await until('answers', () =>
        client.retrieve('before', key).then(
          () => true,
          () => undefined,
        ),
      );
      assert.equal(await metric(scene, 'enc_server_audit_lost_lines_total'), 0);
      // The line of what was done without an answer is there, too.
      const { count } = await verify(files);
      assert.equal(count, 1 + answered + 1 + 1);
      t.diagnostic(`${answered} answered before the disk was full`);
    }));

  it('open: all goes on, and the lost lines are counted, by the metrics and by the log', (t) =>
    withServers(t, 'open', async (scene) => {
      const { client, files, filler } = scene;
      await fill(filler, files.folder);
      const lost = () => metric(scene, 'enc_server_audit_lost_lines_total');
      let answered = 0;
      while ((await lost()) === 0 && answered < TRIES_MAX) {
        // At once, so that a group of lines is written in part.
        const work = Array.from({ length: 40 }, () =>
          client.store(`n${answered++}`, Buffer.from('x')),
        );
        await Promise.all(work);
      }
      assert.ok((await lost()) > 0);
      await unlink(filler);
      await client.store('after', Buffer.from('x'));
      await until('lines', async () =>
        (await metric(scene, 'enc_server_audit_failing')) === 0 ? true : undefined,
      );
      t.diagnostic(`${answered} answered, ${await lost()} lines lost`);
      assert.equal((await verify(files)).lost, await lost());
    }));

  it('from the start: closed does not begin, open does and tells of it later', (t) =>
    withSmallDisk(t, async (files) => {
      const filler = join(files.folder, 'filler');
      await fill(filler, files.folder, 0);
      await rejectsWith(openLog(files), 'UNAVAILABLE');
      const audit = await openLog(files, { failure: 'open' });
      // With `open` nobody waits for a line, and the system may have given a page back meanwhile.
      const more = `${filler}-more`;
      await until('a lost line', async () => {
        await fill(more, files.folder, 0);
        await writeLines(audit, 3);
        return lostBy(audit) > 0 ? true : undefined;
      });
      await unlink(filler);
      await unlink(more);
      await writeLines(audit, 1);
      await audit.close();
      const { findings, lost } = await verify(files, { state: true });
      assert.deepEqual(findings, []);
      assert.ok(lost > 0);
      // Nothing of the attempt that was refused is in the way.
      await (await openLog(files)).close();
    }));
});
