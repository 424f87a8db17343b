/** The disk of both servers' audit logs is full: who is told, in each setting. */
import assert from 'node:assert/strict';
import { mkdir, open, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { initAudit } from '../../lib/audit/key-files.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { auditFilesIn } from '../helpers/audit.ts';
import { http } from '../helpers/http.ts';
import { run, runCommand, until } from '../helpers/programs.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';

const FAILING = 'audit log: its lines cannot be written, and auditFailure is closed';

interface Scene {
  readonly servers: TestServers;
  /** Fills the disk, and lets both servers find out. */
  readonly fill: () => Promise<void>;
  readonly empty: () => Promise<void>;
}

async function withServers(
  t: TestContext,
  auditFailure: 'open' | 'closed',
  work: (scene: Scene) => Promise<void>,
): Promise<void> {
  const folder = await temporaryFolder();
  const mounted = await runCommand('mount', ['-t', 'tmpfs', '-o', 'size=200k', 'tmpfs', folder]);
  if (mounted.code !== 0) {
    await rm(folder, { recursive: true });
    t.skip(`no file system can be mounted here: ${mounted.stderr.trim()}`);
    return;
  }
  try {
    const [fe, be] = await Promise.all(['fe', 'be'].map((name) => audited(join(folder, name))));
    const settings = { auditFailure };
    const servers = await startServers({
      feServerConfigs: { ...fe, ...settings },
      beServerConfigs: { ...be, ...settings },
    });
    const filler = join(folder, 'filler');
    try {
      await work({
        servers,
        empty: () => unlink(filler),
        fill: async () => {
          await takeAll(filler);
          await until('both to find out', async () => {
            await tryStore(servers);
            const failing = await Promise.all(ports(servers).map(isFailing));
            return failing.every(Boolean) || undefined;
          });
        },
      });
    } finally {
      await servers.close();
    }
  } finally {
    assert.equal((await runCommand('umount', [folder])).code, 0);
    await rm(folder, { recursive: true });
  }
}

async function audited(folder: string) {
  await mkdir(folder);
  const files = auditFilesIn(folder);
  await initAudit(files);
  return { auditLog: files.path, auditKeyFile: files.keyFile };
}

async function takeAll(path: string): Promise<void> {
  const file = await open(path, 'a');
  const page = Buffer.alloc(4_096);
  const takes = () =>
    file.write(page).then(
      ({ bytesWritten }) => bytesWritten === page.length,
      () => false,
    );
  while (await takes());
  await file.close();
}

function ports({ fe, be }: TestServers): [number, number] {
  return [fe.port, be.port];
}

/** A line for the log of each server, if it has room. */
async function tryStore({ fe, be }: TestServers): Promise<void> {
  const address = { host: '127.0.0.1', port: fe.port };
  const client = new FeClient({ address, attemptsMax: 1 });
  await client.store('a', Buffer.from('x')).catch(() => undefined);
  client.close();
  // A closed front end asks its back end nothing more on behalf of callers.
  await run('be-client', ['info', '--server', `127.0.0.1:${be.port}`]);
}

async function metric(port: number, name: string): Promise<number> {
  const page = (await http(port, 'GET', '/metrics')).body.toString();
  return Number(new RegExp(`^enc_server_${name} (\\d+)$`, 'm').exec(page)?.[1]);
}

async function isFailing(port: number): Promise<boolean> {
  return (await metric(port, 'audit_failing')) === 1;
}

async function readyz(port: number): Promise<[number, string[]]> {
  const { status, body } = await http(port, 'GET', '/readyz');
  return [status, JSON.parse(body.toString()).missing];
}

function status(servers: TestServers) {
  const [fe, be] = ports(servers).map((port) => `127.0.0.1:${port}`) as [string, string];
  return run('enc-server', ['status', '--fe', fe, '--be', be]);
}

it('closed: both servers are not ready, and say why, until there is room', (t) =>
  withServers(t, 'closed', async ({ servers, fill, empty }) => {
    const [fe, be] = ports(servers);
    await fill();
    assert.deepEqual(await readyz(be), [503, [FAILING]]);
    const [code, [first, second]] = await readyz(fe);
    assert.deepEqual([code, first], [503, FAILING]);
    assert.match(second ?? '', /^back end: the audit log cannot be written/);
    assert.deepEqual([await metric(fe, 'ready'), await metric(be, 'ready')], [0, 0]);
    const shown = await status(servers);
    assert.equal(shown.code, 5);
    for (const name of ['fe', 'be']) {
      assert.match(shown.stdout.toString(), new RegExp(`^${name}: .*audit log cannot be wr`, 'm'));
    }
    await empty();
    await until('both to be ready', async () => {
      const states = await Promise.all([fe, be].map(readyz));
      return states.every(([state]) => state === 200) || undefined;
    });
    assert.deepEqual([await metric(fe, 'ready'), await metric(be, 'ready')], [1, 1]);
    assert.equal((await status(servers)).code, 0);
  }));

it('open: both servers are ready, and status tells what is lost, also afterwards', (t) =>
  withServers(t, 'open', async ({ servers, fill, empty }) => {
    const [fe, be] = ports(servers);
    await fill();
    assert.deepEqual([(await readyz(fe))[0], (await readyz(be))[0]], [200, 200]);
    const failing = await status(servers);
    assert.equal(failing.code, 0);
    const words = 'the audit log cannot be written; lines of the audit log that are lost: [1-9]';
    for (const name of ['fe', 'be']) {
      assert.match(failing.stdout.toString(), new RegExp(`^${name}: ${words}`, 'm'));
    }
    await empty();
    // The line of the first question is written after its answer.
    await status(servers);
    const after = (await status(servers)).stdout.toString();
    assert.doesNotMatch(after, /cannot be written/);
    assert.match(after, /^be: lines of the audit log that are lost: [1-9]/m);
  }));
