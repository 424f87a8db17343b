/** The server programs from their start to their end. What else they do: test/integration. */
import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pathOf, Running, run, runCommand, startUp } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

describe('the server programs', () => {
  let folder: string;
  const running: Running[] = [];
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    for (const one of running.splice(0)) await one.killAll();
    await rm(folder, { recursive: true });
  });

  it('up starts both, and ends both in order', async () => {
    const env = { ENC_SERVER_TS_LOG_DIR: join(folder, 'logs') };
    const up = await startUp(folder, ['--store', 'memory'], { env });
    running.push(up);
    assert.match(up.stdout, new RegExp(`\nlogs: ${folder}/logs\n$`));
    assert.equal((await run('fe-client', up.toFe)).code, 0);
    assert.equal(await up.stop(), 0);
    assert.equal((await readdir(join(folder, 'logs'))).length, 2);
  });

  it('up tells of a server that does not start, and ends the other in order', async () => {
    await writeFile(join(folder, 'keyring'), 'no keyring', { mode: 0o600 });
    const ports = ['--fe-port', '0', '--be-port', '0'];
    const flags = ['--store', 'memory', '--keyring', join(folder, 'keyring'), ...ports];
    const env = { ENC_SERVER_TS_LOG_DIR: join(folder, 'logs') };
    const { code, stdout, stderr } = await run('enc-server', ['up', ...flags], { env });
    assert.equal(code, 2);
    assert.match(stdout.toString(), /^be listening on .*\n$/);
    assert.match(stderr, /^enc-server up: KEYRING_DAMAGED .*\n {2}hint: .*\n$/);
  });

  it('be-server and fe-server serve until they are told to stop', async () => {
    const be = new Running('be-server', ['--store', 'memory', '--port', '0']);
    running.push(be);
    const [, bePort] = await be.saw(/be listening on 127\.0\.0\.1:(\d+) \(memory/);
    const flags = ['--data-dir', folder, '--port', '0', '--be', `localhost:${bePort}`];
    const fe = new Running('enc-server', ['fe-server', ...flags]);
    running.push(fe);
    const [, fePort] = await fe.saw(/fe listening on \S+:(\d+) \(keyring new/);
    assert.equal((await run('fe-client', ['--server', `:${fePort}`])).code, 0);
    assert.equal(await fe.stop('SIGINT'), 0);
    assert.equal(await be.stop('SIGTERM'), 0);
  });

  it('be-server ends where nobody can be told that it listens', { timeout: 30_000 }, async () => {
    const script = `exec "$0" ${pathOf('be-server')} --data-dir ${folder} --port 0 > /dev/full`;
    const { code, stderr } = await runCommand('timeout', [
      '-s',
      'KILL',
      '20',
      'sh',
      '-c',
      script,
      process.execPath,
    ]);
    assert.equal(code, 2);
    assert.match(stderr, /FILE_ERROR cannot write to standard output/);
  });
});
