/** A record's life on the command line: ends, one-time reads, conditions, new keys. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type RunningUp, run, startUp } from '../helpers/programs.ts';

const REVISION = /^[0-9a-f]{16}$/;

let folder: string;
let up: RunningUp;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-life-'));
  const env = { ENC_SERVER_TS_FESERVERCONFIGS_WRITEPOLICY: 'key-proof' };
  up = await startUp(join(folder, 'data'), [], { env });
});
after(async () => {
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

async function feClient(...args: string[]) {
  const { code, stdout, stderr } = await run('fe-client', [...args, ...up.toFe]);
  return { code, stdout: stdout.toString(), stderr };
}

const file = (name: string) => join(folder, name);

test('a record is replaced with its old key alone, and told about without it', async () => {
  const store = ['store', '--id', 'alice', '--record'];
  assert.equal((await feClient(...store, 'one', '--key-out', file('one'))).code, 0);
  const refused = await feClient(...store, 'two', '--key-out', file('refused'));
  assert.equal(refused.code, 6);
  await assert.rejects(readFile(file('refused')), { code: 'ENOENT' });
  const proof = ['--old-key-file', file('one'), '--key-out', file('two')];
  assert.equal((await feClient(...store, 'two', ...proof, '--content-type', 'text/x')).code, 0);
  const got = await feClient('retrieve', '--id', 'alice', '--key-file', file('two'), '--json');
  const { record64, contentType, revision } = JSON.parse(got.stdout);
  assert.deepEqual([Buffer.from(record64, 'base64').toString(), contentType], ['two', 'text/x']);
  const head = await feClient('head', '--id', 'alice', '--json');
  assert.match(revision, REVISION);
  assert.equal(JSON.parse(head.stdout).revision, revision);
  const stale = ['--old-key-file', file('two'), '--if-revision', '0123456789abcdef'];
  assert.equal((await feClient(...store, 'three', ...stale)).code, 7);
  assert.equal((await feClient('delete', '--id', 'alice')).code, 6);
  const both = [...store, 'x', '--if-absent', '--if-revision', revision];
  assert.equal((await feClient(...both)).code, 2);
});

test('a record ends at its time', async () => {
  const store = ['store', '--id', 'short', '--record', 'x', '--key-out', file('short')];
  assert.equal((await feClient(...store, '--ttl', '1h')).code, 0);
  const head = await feClient('head', '--id', 'short');
  const [, expires = ''] = /^expires: (.*)$/m.exec(head.stdout) ?? [];
  const leftMs = Date.parse(expires) - Date.now();
  assert.ok(leftMs > 3_500_000 && leftMs <= 3_600_000, head.stdout);
  assert.equal((await feClient('store', '--id', 'y', '--record', 'x', '--ttl', 'soon')).code, 2);
});

test('a record that can be read once is read once', async () => {
  const store = ['store', '--id', 'note', '--record', 'burn', '--once', '--key-out', file('note')];
  assert.equal((await feClient(...store)).code, 0);
  assert.match((await feClient('head', '--id', 'note')).stdout, /^once: true$/m);
  const wrong = ['retrieve', '--id', 'note', '--key', '0123456789abcdef'.repeat(4)];
  assert.equal((await feClient(...wrong)).code, 4);
  const retrieve = ['retrieve', '--id', 'note', '--key-file', file('note')];
  assert.equal((await feClient(...retrieve)).stdout, 'burn');
  const again = await feClient(...retrieve);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /ALREADY_READ the record was read at \d{4}-/);
});

test('a record gets a new key, also when asked twice', async () => {
  await feClient('store', '--id', 'key', '--record', 'kept', '--key-out', file('old'));
  const rekey = ['rekey', '--id', 'key', '--key-file', file('old'), '--key-out', file('new')];
  assert.equal((await feClient(...rekey)).stdout, 'SUCCESS\n');
  const key = await readFile(file('new'), 'utf8');
  assert.equal((await feClient(...rekey)).code, 0);
  assert.equal(await readFile(file('new'), 'utf8'), key);
  const retrieve = ['retrieve', '--id', 'key', '--key-file'];
  assert.equal((await feClient(...retrieve, file('new'))).stdout, 'kept');
  assert.equal((await feClient(...retrieve, file('old'))).code, 4);
  assert.equal((await feClient('rekey', '--id', 'key', '--key-file', file('old'))).code, 2);
  const sameKey = ['--key-file', file('new'), '--key-out', file('new')];
  const same = await feClient('rekey', '--id', 'key', ...sameKey);
  assert.equal(same.code, 2);
  assert.match(same.stderr, /the new key is the one that the record has/);
});
