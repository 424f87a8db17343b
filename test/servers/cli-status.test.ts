/** `enc-server status`: what it shows, how it watches, and how it ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { isWell, jsonOf, type Look, lineOf, tableOf } from '../../lib/cli/status-view.ts';
import { EncServerError, type ErrorCode } from '../../lib/errors.ts';
import { http } from '../helpers/http.ts';
import { Running, run } from '../helpers/programs.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';

const FACTS = {
  ok: true,
  version: '9.8.7',
  uptimeMs: 90_061_000,
  connections: 3,
  requestsUnderWay: 2,
  requests: 1_000,
  bytesInFlight: 1_572_864,
  keyring: '0123456789abcdef0123456789abcdef',
  epoch: 4,
};
const STORE = { kind: 'level', records: 12, bytes: 2_621_440, place: '/var/lib/enc' };

function lookOf(server: 'fe' | 'be', facts: Record<string, unknown>, atMs = 1_000): Look {
  return { server, address: `${server}.example:1`, facts, error: undefined, atMs };
}

function failed(server: 'fe' | 'be', code: ErrorCode): Look {
  const error = new EncServerError(code, 'so it is');
  return { server, address: `${server}.example:1`, facts: undefined, error, atMs: 1_000 };
}

describe('what status shows', () => {
  it('has a row for each server, with all that it says', () => {
    const looks = [lookOf('fe', FACTS), lookOf('be', { ...FACTS, store: STORE })];
    const [headings = '', fe = '', be = '', ...rest] = tableOf(looks, []).split('\n');
    assert.deepEqual(rest, ['']);
    assert.deepEqual(cells(headings).slice(0, 5), [
      'SERVER',
      'STATE',
      'VERSION',
      'UPTIME',
      'CONNS',
    ]);
    const shared = ['ok', '9.8.7', '1 d 1 h', '3', '2', '-', '1.5 MiB', '01234567', '4'];
    assert.deepEqual(cells(fe), ['fe fe.example:1', ...shared]);
    const store = 'level, about 12 records, 2.5 MiB, /var/lib/enc';
    assert.deepEqual(cells(be), ['be be.example:1', ...shared, store]);
  });

  it('tells what is missing, who is down and who refuses, below the table', () => {
    const notReady = lookOf('fe', { ...FACTS, ok: false, reason: 'no back end' });
    const [, fe = '', be = '', ...words] = tableOf(
      [notReady, failed('be', 'UNAVAILABLE')],
      [],
    ).split('\n');
    assert.equal(cells(fe)[1], 'not ready');
    assert.deepEqual(cells(be), ['be be.example:1', 'down']);
    assert.deepEqual(words, [
      'fe: no back end',
      'be: UNAVAILABLE so it is; try again in a moment',
      '',
    ]);
    assert.match(tableOf([failed('be', 'UNAUTHENTICATED')], []), /refuses\nbe: UNAUTHENTICATED /);
    assert.deepEqual([notReady, failed('be', 'TIMEOUT'), lookOf('fe', FACTS)].map(isWell), [
      false,
      false,
      true,
    ]);
  });

  it('tells requests in a second since the look before, if there is such a one', () => {
    const before = [lookOf('fe', { ...FACTS, requests: 400 }, 0)];
    const now = lookOf('fe', { ...FACTS, requests: 1_000 }, 2_000);
    assert.equal(cells(tableOf([now], before).split('\n')[1] ?? '')[6], '300');
    assert.match(lineOf([now], before, 0), /fe ok, 2 under way, 300 requests\/s, 3 connections/);
    assert.equal(JSON.parse(jsonOf([now], before))[0].requestsPerSecond, 300);
    // It started again and counts from zero, was down, or was never looked at.
    for (const earlier of [
      [lookOf('fe', { ...FACTS, requests: 9_000 }, 0)],
      [failed('fe', 'TIMEOUT')],
      [],
    ]) {
      assert.equal(cells(tableOf([now], earlier).split('\n')[1] ?? '')[6], '-');
      assert.ok(!('requestsPerSecond' in JSON.parse(jsonOf([now], earlier))[0]));
    }
  });

  it('tells what the audit log lacks, of a server that goes on without it', () => {
    const audit = { failure: 'open', failing: true, lostLines: 3, checkpointsFailed: 2 };
    const look = lookOf('fe', { ...FACTS, audit });
    const words =
      'the audit log cannot be written; lines of the audit log that are lost: 3; ' +
      'checkpoints of the audit log that could not be written: 2';
    assert.ok(isWell(look));
    assert.ok(tableOf([look], []).endsWith(`\nfe: ${words}\n`));
    assert.ok(lineOf([look], [], 0).includes(`fe ok (${words}), 2 under way`));
    const whole = { failing: false, lostLines: 0, checkpointsFailed: 0 };
    assert.doesNotMatch(tableOf([lookOf('fe', { ...FACTS, audit: whole })], []), /audit/);
  });

  it('fits into one line for a log', () => {
    const line = lineOf([lookOf('fe', FACTS), failed('be', 'TIMEOUT')], [], Date.UTC(2024, 1, 2));
    assert.match(
      line,
      /^2024-02-02T00:00:00\.000Z fe ok, 2 under way, 3 connections; be down \(TIMEOUT .*\)\n$/,
    );
  });

  it('lets no server steer the terminal', () => {
    const sly = '\x1b]0;owned\x07\r\nfe ok \u202e\x9b2J';
    const facts = { ...FACTS, ok: false, reason: sly, version: sly, epoch: sly, keyring: sly };
    const looks = [lookOf('be', { ...facts, store: { ...STORE, place: sly, kind: sly } })];
    const shown = tableOf(looks, []) + lineOf(looks, [], 0);
    assert.doesNotMatch(shown.replaceAll('\n', ''), /\p{C}/u);
    assert.equal(shown.split('\n').length, 5);
  });

  it('is JSON for programs, and a server cannot pass for the other', () => {
    const sly = lookOf('be', { ...FACTS, server: 'fe', address: 'elsewhere:1' });
    const [fe, be] = JSON.parse(jsonOf([failed('fe', 'TIMEOUT'), sly], []));
    assert.deepEqual(fe, {
      server: 'fe',
      address: 'fe.example:1',
      ok: false,
      code: 'TIMEOUT',
      reason: 'so it is',
    });
    assert.deepEqual([be.server, be.address, be.epoch], ['be', 'be.example:1', 4]);
  });
});

function cells(row: string): string[] {
  return row.split(/ {2,}/).filter((cell) => cell !== '');
}

describe('enc-server status', () => {
  let servers: TestServers;
  before(async () => {
    servers = await startServers();
  });
  after(() => servers.close());
  const where = () => [
    ...['--fe', `127.0.0.1:${servers.fe.port}`],
    ...['--be', `127.0.0.1:${servers.be.port}`],
  ];

  it('ends with 0 while both are well, and leaves itself out of what is under way', async () => {
    const { code, stdout, stderr } = await run('enc-server', ['status', ...where()]);
    assert.equal(code, 0, stderr);
    const [, fe = '', be = ''] = stdout.toString().split('\n');
    assert.deepEqual([cells(fe)[1], cells(fe)[5]], ['ok', '0']);
    assert.deepEqual([cells(be)[1], cells(be)[5]], ['ok', '0']);
    assert.equal(cells(be).at(-1), 'memory, about 0 records, 0 B');
    assert.equal(cells(fe)[8], cells(be)[8]);
  });

  it('counts what others have under way', async () => {
    const { port } = servers.fe;
    const headers = { 'content-length': 10, 'enc-record-id': 'abc' };
    const { request } = await import('node:http');
    const held = request({ host: '127.0.0.1', port, method: 'PUT', path: '/v1/record', headers });
    held.on('error', () => undefined);
    held.write('abc');
    for (;;) {
      const page = (await http(port, 'GET', '/metrics')).body.toString();
      if (/^enc_server_requests_under_way 2$/m.test(page)) break;
    }
    const { stdout } = await run('enc-server', ['status', ...where(), '--json']);
    const [fe, be] = JSON.parse(stdout.toString());
    assert.deepEqual([fe.requestsUnderWay, be.requestsUnderWay], [1, 0]);
    held.destroy();
  });

  it('watches in lines where nobody sees it, until Ctrl-C', async () => {
    const watching = new Running('enc-server', [
      ...['status', ...where(), '--watch', '--interval', '20ms'],
    ]);
    const line = /^\S+Z fe ok, 0 under way, \d+ requests\/s, \d+ connections; be ok, .*\n/m;
    await watching.saw(line);
    assert.equal(await watching.stop('SIGINT'), 0);
    assert.match(watching.stdout, /^(?:\S+Z fe .*; be .*\n)+$/);
    assert.equal(watching.stderr, '');
  });

  it('sees a server go and come back, and ends with what it saw last', async () => {
    const watching = new Running('enc-server', [
      ...['status', ...where(), '--watch', '--interval', '20ms', '--json'],
    ]);
    await watching.saw(/"server":"be","ok":true|"ok":true.*"server":"be"/);
    await servers.stopBe();
    await watching.saw(/"server":"be",[^{}]*"ok":false,"code":"UNAVAILABLE"/);
    assert.equal(await watching.stop('SIGINT'), 5);
    const once = await run('enc-server', ['status', ...where()]);
    assert.equal(once.code, 5);
    assert.match(once.stdout.toString(), /^fe \S+ +not ready .*\nbe \S+ +down\n/m);
    await servers.restartBe();
    for (;;) {
      const { code } = await run('enc-server', ['status', ...where()]);
      if (code === 0) break;
      assert.equal(code, 5);
    }
  });

  it('ends at Ctrl-C although a server says nothing', { timeout: 60_000 }, async () => {
    const silent = createServer((socket) => socket.resume());
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const mute = ['--fe', `127.0.0.1:${port}`, '--be', `127.0.0.1:${port}`];
    const args = ['status', ...mute, '--watch', '--timeout', '1h', '--interval', '20d'];
    const asked = once(silent, 'connection');
    const watching = new Running('enc-server', args);
    await asked;
    assert.equal(await watching.stop('SIGINT'), 5);
    assert.equal(watching.stdout, '');
    silent.close();
  });

  it('ends when nobody reads any more', { timeout: 60_000 }, async () => {
    const watching = new Running('enc-server', [
      ...['status', ...where(), '--watch', '--interval', '20ms'],
    ]);
    await watching.saw(/\n/);
    watching.process.stdout?.destroy();
    assert.equal(await watching.exited, 0);
  });

  it('tells mistakes on its command line before it asks anyone', async () => {
    for (const args of [
      ['--interval', '0'],
      ['--interval', 'soon'],
      ['--fe', 'nowhere'],
      ['--be', ''],
      ['--token-file', ''],
      ['--wach'],
    ]) {
      const { code, stdout, stderr } = await run('enc-server', ['status', ...args]);
      assert.equal(code, 2, `${args}: ${stderr}`);
      assert.equal(stdout.length, 0);
    }
  });
});
