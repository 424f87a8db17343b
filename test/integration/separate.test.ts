/** `be-server` and `fe-server`, each started by hand, in any order. */
import assert from 'node:assert/strict';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { isListening, Running, run, until } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

describe('servers on their own', () => {
  let folder: string;
  const running: Running[] = [];
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    for (const one of running.splice(0)) await one.killAll();
    await rm(folder, { recursive: true });
  });

  async function start(
    role: 'be' | 'fe',
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<{ server: Running; port: number }> {
    const server = new Running(`${role}-server`, args, { env });
    running.push(server);
    const match = await server.saw(new RegExp(`${role} listening on \\S+:(\\d+) .*\n`));
    return { server, port: Number(match[1]) };
  }

  it('work together through their own flags', async () => {
    const be = await start('be', ['--port', '0', '--data-dir', join(folder, 'b')]);
    const keyring = join(folder, 'k.json');
    const toBe = ['--be', `127.0.0.1:${be.port}`];
    const fe = await start('fe', ['--port', '0', '--keyring', keyring, ...toBe], {
      ENC_SERVER_TS_LOG_DIR: join(folder, 'logs'),
    });
    assert.match(fe.server.stdout, new RegExp(`keyring new: ${keyring}, back it up`));
    const trial = await run('fe-client', ['--server', `127.0.0.1:${fe.port}`]);
    assert.equal(trial.code, 0, trial.stderr);
    assert.equal(await fe.server.stop('SIGINT'), 0);
    assert.equal(await be.server.stop(), 0);

    // Servers log to standard output, too; one file each, named by UTC time and process.
    const [log = '', ...others] = await readdir(join(folder, 'logs'));
    assert.match(log, new RegExp(`^feserver\\.\\d{8}-\\d{6}-${fe.server.pid}\\.log$`));
    assert.deepEqual(others, []);
    const lines = await readFile(join(folder, 'logs', log), 'utf8');
    assert.match(lines, /"msg":"listening"/);
    for (const line of lines.trim().split('\n')) assert.ok(fe.server.stdout.includes(line));
  });

  it('a front end waits for its back end, and says so fast', async () => {
    // A port that was free a moment ago.
    const gone = await start('be', ['--port', '0', '--store', 'memory']);
    await gone.server.stop();
    const toBe = ['--be', `127.0.0.1:${gone.port}`];
    const fe = await start('fe', ['--port', '0', '--data-dir', folder, ...toBe]);
    assert.match(fe.server.stdout, /no keyring yet/);

    const store = ['store', '--id', 'a', '--record', 'b', '--server', `127.0.0.1:${fe.port}`];
    const refused = await run('fe-client', store);
    assert.equal(refused.code, 5);
    assert.match(refused.stderr, /fe-client: UNAVAILABLE .*\n {2}hint: /);
    // Within the deadline of its request by far, however slow the machine is.
    const client = new FeClient({ address: { host: '127.0.0.1', port: fe.port }, attemptsMax: 1 });
    await assert.rejects(client.store('a', Buffer.from('b')), { code: 'UNAVAILABLE' });

    const be = await start('be', ['--port', `${gone.port}`, '--store', 'memory']);
    const stored = await until('the front end to find its back end', async () => {
      const done = await client.store('a', Buffer.from('b')).catch(() => undefined);
      return done;
    });
    assert.equal((await client.retrieve('a', stored.key)).record.toString(), 'b');
    await fe.server.saw(new RegExp(`^fe keyring new: ${folder}/fe/keyring.json, back it up$`, 'm'));

    // The back end goes and comes again; so does the service.
    await be.server.killAll();
    await assert.rejects(client.store('a', Buffer.from('c')), (error: { code: string }) =>
      ['UNAVAILABLE', 'UNKNOWN_OUTCOME'].includes(error.code),
    );
    assert.ok(await isListening(fe.port));
    client.close();
  });
});
