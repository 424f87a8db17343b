/** How the servers end: asked to, killed one by one, killed at once. What is stored stays. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  cleanEnv,
  findCommand,
  isListening,
  pathOf,
  Running,
  type RunningUp,
  run,
  startUp,
  until,
  untilGone,
} from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

describe('stopping', () => {
  let folder: string;
  let up: RunningUp;
  let key: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
    up = await startUp(folder);
    const stored = await run('fe-client', ['store', '--id', 'a', '--record', 'kept', ...up.toFe]);
    key = stored.stdout.toString().trim();
    assert.equal(stored.code, 0, stored.stderr);
  });
  afterEach(async () => {
    await up.killAll();
    await rm(folder, { recursive: true });
  });

  const assertAllGone = async () => {
    await untilGone(up.pid, up.fePid, up.bePid);
    for (const port of [up.fePort, up.bePort]) {
      await until('its ports to be free', async () => !(await isListening(port)) || undefined);
    }
  };
  const assertKeptAfterRestart = async () => {
    const again = await startUp(folder);
    try {
      assert.match(again.stdout, new RegExp(`fe listening .*\\(keyring ${folder}/fe/keyring.json`));
      const found = await run('fe-client', ['retrieve', '--id', 'a', '--key', key, ...again.toFe]);
      assert.deepEqual([found.code, found.stdout.toString()], [0, 'kept']);
    } finally {
      await again.killAll();
    }
  };

  it('ends in order on SIGTERM, and finds the records again', async () => {
    assert.equal(await up.stop('SIGTERM'), 0);
    await assertAllGone();
    assert.equal(up.stderr, '');
    await assertKeptAfterRestart();
  });

  // SIGHUP when a terminal closes.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    it(`ends in order when all processes get ${signal} at once`, async () => {
      up.signalAll(signal);
      assert.equal(await up.exited, 0);
      await assertAllGone();
      assert.equal(up.stderr, '');
    });
  }

  it('lets its servers end when it is killed itself', async () => {
    assert.equal(await up.stop('SIGKILL'), null);
    await assertAllGone();
    await assertKeptAfterRestart();
  });

  for (const [name, pid] of [
    ['back end', () => up.bePid],
    ['front end', () => up.fePid],
  ] as const) {
    it(`stops the other server when the ${name} is killed`, async () => {
      process.kill(pid(), 'SIGKILL');
      assert.equal(await up.exited, 1);
      assert.match(up.stderr, new RegExp(`enc-server up: the ${name} ended; `));
      await assertAllGone();
      await assertKeptAfterRestart();
    });

    it(`stops both, in order, when the ${name} alone is told to`, async () => {
      process.kill(pid(), 'SIGTERM');
      assert.equal(await up.exited, 1);
      assert.match(up.stderr, new RegExp(`enc-server up: the ${name} was told to stop`));
      await assertAllGone();
    });
  }

  it('finds the records again after kill -9 of everything', async () => {
    await up.killAll();
    await assertAllGone();
    await assertKeptAfterRestart();
  });

  it('hurries at the second signal', async () => {
    // Half of a frame keeps the front end waiting for the rest.
    const socket = connect(up.fePort, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.from([0, 0, 1, 0, 1]));
    const ping = ['retrieve', '--id', 'a', '--key', key, ...up.toFe];
    assert.equal((await run('fe-client', ping)).code, 0);
    up.process.kill('SIGTERM');
    await until('the port to be closed', async () => !(await isListening(up.fePort)) || undefined);
    up.process.kill('SIGTERM');
    assert.equal(await up.exited, 1);
    await assertAllGone();
    socket.destroy();
  });
});

describe('a server whose terminal closes', () => {
  it('ends in order, by the signal of that: Node itself would abort', async (context) => {
    const script = await findCommand('script');
    if (script === undefined) return context.skip('script is not installed');
    const folder = await temporaryFolder();
    const end = join(folder, 'end');
    const server = [pathOf('be-server'), '--port', '0', '--data-dir', folder];
    // The leader of the terminal's session: it is the one who is told that the terminal is gone.
    const leader = `
      const server = require('child_process').spawn(process.execPath, ${JSON.stringify(server)}, { stdio: 'inherit' });
      process.on('SIGHUP', () => server.kill('SIGHUP'));
      server.on('exit', (code, signal) => {
        require('fs').writeFileSync(${JSON.stringify(end)}, code + ' ' + signal);
        process.kill(process.pid, 'SIGKILL');
      });`;
    const program = join(folder, 'leader.cjs');
    writeFileSync(program, leader);
    const command = `exec ${process.execPath} ${program}`;
    const env = cleanEnv({ ENC_SERVER_TS_LOG_DIR: join(folder, 'logs') });
    const terminal = spawn(script, ['-qec', command, '/dev/null'], { env, stdio: 'pipe' });
    let said = '';
    terminal.stdout.on('data', (chunk) => {
      said += chunk;
    });
    await until('the server to listen', async () => said.includes('listening') || undefined);
    terminal.kill('SIGKILL');
    const ended = await until('the server to end', async () =>
      existsSync(end) ? readFileSync(end, 'utf8') || undefined : undefined,
    );
    assert.equal(ended, 'null SIGHUP');
    const logs = readdirSync(join(folder, 'logs')).map((name) => join(folder, 'logs', name));
    assert.ok(logs.some((log) => readFileSync(log, 'utf8').includes('"msg":"closed"')));
    await rm(folder, { recursive: true });
  });
});

describe('a start that is interrupted', () => {
  it('ends in order when the front end has not begun to listen', async () => {
    const folder = await temporaryFolder();
    const ports = ['--fe-port', '0', '--be-port', '0'];
    const up = new Running('enc-server', ['up', '--data-dir', folder, ...ports]);
    await up.saw(/be listening/);
    assert.equal(await up.stop('SIGTERM'), 0);
    assert.equal(up.stderr, '');
    await up.killAll();
    await rm(folder, { recursive: true });
  });

  it('ends in order while the front end still waits for a back end', async () => {
    const folder = await temporaryFolder();
    // Accepts, and never answers.
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const fe = new Running('fe-server', ['--data-dir', folder, '--port', '0', '--be', address], {
      env: { ENC_SERVER_TS_BECLIENTCONFIGS_TIMEOUTMS: '500ms' },
    });
    await new Promise((resolve) => silent.once('connection', resolve));
    fe.process.kill('SIGTERM');
    assert.equal(await fe.exited, 0);
    silent.close();
    await fe.killAll();
    await rm(folder, { recursive: true });
  });
});
