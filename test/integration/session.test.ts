/** `enc-server up` and its clients, as a newcomer meets them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathOf, type RunningUp, run, runCommand, startUp } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const KEY = /^[0-9a-f]{64}\n$/;

describe('a session', () => {
  let folder: string;
  let up: RunningUp;
  before(async () => {
    folder = await temporaryFolder();
    up = await startUp(join(folder, 'data'));
  });
  after(async () => {
    await up.killAll();
    await rm(folder, { recursive: true });
  });
  const fe = (args: readonly string[], options = {}) =>
    run('fe-client', [...args, ...up.toFe], options);
  const be = (args: readonly string[], options = {}) =>
    run('be-client', [...args, ...up.toBe], options);
  const put = async (id: string, record: string) => {
    const { code, stdout, stderr } = await fe(['store', '--id', id, '--record', record]);
    assert.equal(code, 0, stderr);
    return stdout.toString().trim();
  };

  it('says where it listens, what to try and where the logs are', () => {
    const data = join(folder, 'data');
    const [beLine, feLine, tryLine, logs, rest] = up.stdout.split('\n');
    assert.match(
      beLine ?? '',
      new RegExp(
        `^be listening on 127.0.0.1:${up.bePort} \\(level, ${data}/be, about \\d+ records`,
      ),
    );
    const keyring = `${data}/fe/keyring.json`;
    assert.equal(
      feLine,
      `fe listening on 127.0.0.1:${up.fePort} (keyring new: ${keyring}, back it up)`,
    );
    assert.equal(
      tryLine,
      'try: npx enc-server-ts fe-client store --id alice --key-out alice.key ' +
        `--server localhost:${up.fePort}`,
    );
    assert.equal(logs, 'logs: (no files)');
    assert.equal(rest, '');
    assert.equal(up.stderr, '');
  });

  it('stores, retrieves and deletes', async () => {
    const stored = await fe(['store', '--id', 'alice', '--record', 'hello']);
    assert.equal(stored.code, 0);
    assert.match(stored.stdout.toString(), KEY);
    const key = stored.stdout.toString().trim();

    const found = await fe(['retrieve', '--id', 'alice', '--key', key]);
    assert.deepEqual([found.code, found.stdout.toString()], [0, 'hello']);

    const deleted = await fe(['delete', '--id', 'alice', '--key', key]);
    assert.deepEqual([deleted.code, deleted.stdout.toString()], [0, 'SUCCESS\n']);
    assert.equal((await fe(['retrieve', '--id', 'alice', '--key', key])).code, 3);
  });

  it('tells a wrong key from an unknown ID', async () => {
    const key = await put('bob', 'one');
    const wrong = key.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    const refused = await fe(['retrieve', '--id', 'bob', '--key', wrong]);
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /^fe-client: WRONG_KEY .*\n {2}hint: .*\n$/);
    assert.ok(!refused.stderr.includes(wrong));
    assert.equal((await fe(['delete', '--id', 'bob', '--key', wrong])).code, 4);
    assert.equal((await fe(['retrieve', '--id', 'nobody', '--key', key])).code, 3);
  });

  it('deletes what is not there, unless it must exist', async () => {
    assert.equal((await fe(['delete', '--id', 'nobody'])).code, 0);
    const strict = await fe(['delete', '--id', 'nobody', '--must-exist']);
    assert.equal(strict.code, 3);
    assert.match(strict.stderr, /NOT_FOUND/);
    assert.equal((await be(['delete', '--id', 'nobody', '--must-exist'])).code, 3);
  });

  it('keeps namespaces apart', async () => {
    const key = await put('carol', 'of no namespace');
    const named = ['--id', 'carol', '--namespace', 'n'];
    assert.equal((await fe(['retrieve', ...named, '--key', key])).code, 3);
    const stored = await fe(['store', ...named, '--record', 'of n', '--if-absent']);
    assert.equal(stored.code, 0);
    const again = await fe(['store', ...named, '--record', 'later', '--if-absent']);
    assert.equal(again.code, 7);
    const found = await fe(['retrieve', ...named, '--key', stored.stdout.toString().trim()]);
    assert.equal(found.stdout.toString(), 'of n');
  });

  it('takes a key from a pipe, a file or the environment', async () => {
    const key = await put('dora', 'hello');
    const file = join(folder, 'dora.key');
    await writeFile(file, `${key}\r\n`);
    const retrieve = ['retrieve', '--id', 'dora'];
    const ways = [
      fe([...retrieve, '--key', '-'], { input: `${key}\n` }),
      fe([...retrieve, '--key-file', file]),
      fe(retrieve, { env: { ENC_SERVER_TS_KEY: key } }),
      fe([...retrieve, '--key', key.toUpperCase()], { env: { ENC_SERVER_TS_KEY: 'bad' } }),
    ];
    for (const way of ways) assert.equal((await way).stdout.toString(), 'hello');
  });

  it('writes a key to a new file that only its owner reads', async () => {
    const file = join(folder, 'erin.key');
    const store = ['store', '--id', 'erin', '--record', 'first', '--key-out', file];
    const stored = await fe(store);
    assert.deepEqual([stored.code, stored.stdout.toString()], [0, 'SUCCESS\n']);
    assert.match(await readFile(file, 'utf8'), KEY);
    assert.equal((await stat(file)).mode & 0o777, 0o600);

    const again = await fe(store);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /FILE_ERROR .*EEXIST.*never overwritten/s);
    const found = await fe(['retrieve', '--id', 'erin', '--key-file', file]);
    assert.equal(found.stdout.toString(), 'first');
  });

  it('carries 5 MiB of bytes through files', async () => {
    const bytes = randomBytes(5 * 1024 * 1024);
    const [source, target] = [join(folder, 'in.bin'), join(folder, 'out.bin')];
    const key = join(folder, 'big.key');
    await writeFile(source, bytes);
    const store = ['store', '--id', 'big', '--file', source, '--key-out', key];
    assert.equal((await fe(store)).code, 0);
    const retrieve = ['retrieve', '--id', 'big', '--key-file', key];
    assert.equal((await fe([...retrieve, '--out', target])).code, 0);
    assert.ok((await readFile(target)).equals(bytes));
    assert.equal((await stat(target)).mode & 0o777, 0o600);
    assert.ok((await fe(retrieve)).stdout.equals(bytes));

    assert.equal((await be(['store', '--id', 'big', '--file', source])).code, 0);
    assert.ok((await be(['retrieve', '--id', 'big'])).stdout.equals(bytes));
    assert.equal((await be(['retrieve', '--id', 'big', '--out', target])).code, 0);
    assert.ok((await readFile(target)).equals(bytes));
  });

  it('carries bytes through a pipe of the shell', async () => {
    const bytes = Buffer.concat([Buffer.from([0, 10, 13, 255, 254]), randomBytes(70_000)]);
    const key = (await fe(['store', '--id', 'pipe'], { input: bytes })).stdout.toString().trim();
    assert.ok((await fe(['retrieve', '--id', 'pipe', '--key', key])).stdout.equals(bytes));
    const empty = (await fe(['store', '--id', 'empty'])).stdout.toString().trim();
    const found = await fe(['retrieve', '--id', 'empty', '--key', empty]);
    assert.deepEqual([found.code, found.stdout.length], [0, 0]);
  });

  it('prints JSON when asked', async () => {
    const stored = await fe(['store', '--id', 'json', '--record', 'hi', '--json']);
    const { key, revision, replaced } = JSON.parse(stored.stdout.toString());
    assert.match(`${key}\n`, KEY);
    assert.match(revision, /^[0-9a-f]{16}$/);
    assert.equal(replaced, false);
    const found = await fe(['retrieve', '--id', 'json', '--key', key, '--json']);
    const record64 = Buffer.from('hi').toString('base64');
    assert.deepEqual(JSON.parse(found.stdout.toString()), { revision, bytes: 2, record64 });
    const out = join(folder, 'json.out');
    const written = await fe(['retrieve', '--id', 'json', '--key', key, '--json', '--out', out]);
    assert.deepEqual(JSON.parse(written.stdout.toString()), { revision, bytes: 2 });
    assert.equal(await readFile(out, 'utf8'), 'hi');
    const keyOut = join(folder, 'json.key');
    const again = ['store', '--id', 'json', '--record', 'ho', '--json', '--key-out', keyOut];
    const second = JSON.parse((await fe(again)).stdout.toString());
    assert.deepEqual([second.replaced, second.keyOut, second.key], [true, keyOut, undefined]);
    const deleted = await fe(['delete', '--id', 'json', '--json']);
    assert.deepEqual(JSON.parse(deleted.stdout.toString()), { existed: true });
    const missing = await fe(['retrieve', '--id', 'json', '--key', key, '--json']);
    assert.deepEqual([missing.code, missing.stdout.length], [3, 0]);
    assert.equal(JSON.parse(missing.stderr).error.code, 'NOT_FOUND');
  });

  it('keeps opaque bytes at the back end', async () => {
    const stored = await be(['store', '--id', 'token', '--record', 'opaque']);
    assert.deepEqual([stored.code, stored.stdout.toString()], [0, 'SUCCESS\n']);
    assert.equal((await be(['retrieve', '--id', 'token'])).stdout.toString(), 'opaque');
    const json = await be(['retrieve', '--id', 'token', '--json']);
    const record64 = Buffer.from('opaque').toString('base64');
    assert.deepEqual(JSON.parse(json.stdout.toString()), { bytes: 6, record64 });
    assert.equal((await be(['delete', '--id', 'token', '--must-exist'])).code, 0);
    assert.equal((await be(['retrieve', '--id', 'token'])).code, 3);
  });

  it('tries itself, and leaves nothing behind', async () => {
    for (const client of [fe, be]) {
      for (let round = 1; round <= 2; round++) {
        const { code, stdout } = await client([]);
        assert.equal(code, 0);
        assert.match(
          stdout.toString(),
          /^stored 44 bytes .*\nretrieved 44 bytes\nthey are the same\ndeleted them again\n$/,
        );
      }
    }
    const json = await fe(['--json']);
    const steps = json.stdout.toString().trim().split('\n');
    assert.deepEqual(
      steps.map((line) => JSON.parse(line).step),
      ['store', 'retrieve', 'compare', 'delete'],
    );
  });

  it('tries itself never over a record of somebody', async () => {
    const key = await put('trial', 'mine');
    const refused = await fe([]);
    assert.deepEqual([refused.code, refused.stdout.length], [7, 0]);
    assert.match(refused.stderr, /CONFLICT .*not touched.*testParams\.id/s);
    const found = await fe(['retrieve', '--id', 'trial', '--key', key]);
    assert.equal(found.stdout.toString(), 'mine');
    await be(['store', '--id', 'trial', '--record', 'mine too']);
    assert.equal((await be([])).code, 7);
    assert.equal((await be(['retrieve', '--id', 'trial'])).stdout.toString(), 'mine too');
    await be(['delete', '--id', 'trial']);
    await fe(['delete', '--id', 'trial']);
  });

  it('refuses a record above the maximum, and lives on', async () => {
    const refused = await fe(['store', '--id', 'huge'], { input: Buffer.alloc(9 * 1024 * 1024) });
    assert.equal(refused.code, 8);
    const key = await put('small', 'fits');
    assert.equal((await fe(['retrieve', '--id', 'small', '--key', key])).code, 0);
  });

  it('does not lose a key without a word when nobody takes it', async () => {
    const store = ['store', '--id', 'lost', '--record', 'x', ...up.toFe];
    const script = `exec "$0" "$@" > /dev/full`;
    const full = await runCommand('sh', [
      '-c',
      script,
      process.execPath,
      pathOf('fe-client'),
      ...store,
    ]);
    assert.equal(full.code, 2);
    assert.match(full.stderr, /its key lost.*FILE_ERROR .*ENOSPC/s);
  });

  it('says so when a client calls the other server', async () => {
    const wrongServer = await run('be-client', ['retrieve', '--id', 'x', ...up.toFe]);
    assert.equal(wrongServer.code, 1);
    assert.match(wrongServer.stderr, /UNKNOWN_OPCODE .*this is the other server/s);
  });
});
