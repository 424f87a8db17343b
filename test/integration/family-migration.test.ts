/** `enc-server migrate` as a person runs it, from a MongoDB that the family's servers have filled. */
import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MongoClient, ObjectId } from 'mongodb';
import { openFamilySource } from '../../lib/store/mongo-family.ts';
import { ServerProcess } from '../faults/servers.ts';
import { NO_MONGO, openTestMongo, type TestMongo } from '../helpers/mongo-server.ts';
import { type RunningUp, run, startUp } from '../helpers/programs.ts';

const DIST = fileURLToPath(new URL('../..', import.meta.url));
const ID_KEY = '0123456789abcdefghijklmnopqrstuv';
const ID_NONCE = 'nonce-of-ids';
const COUNT = 25;

let folder: string;
let up: RunningUp;
let mongo: TestMongo | undefined;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-migrate-'));
  up = await startUp(join(folder, 'data'));
  if (NO_MONGO === undefined) mongo = await openTestMongo();
});
after(async () => {
  await up.killAll();
  await mongo?.close();
  await rm(folder, { recursive: true, force: true });
});

function gcm(key: Buffer, nonce: Buffer, text: string): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  return Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

async function migrate(...args: string[]) {
  const { code, stdout, stderr } = await run('enc-server', ['migrate', ...args]);
  return { code, stdout: stdout.toString(), stderr };
}

test('records of the Go servers come along, and their store stays as it was', async (t) => {
  if (mongo === undefined) return t.skip(NO_MONGO);
  const database = mongo.database();
  const client = await new MongoClient(mongo.uri).connect();
  const collection = client.db(database).collection('records');
  const keys: Buffer[] = [];
  for (let index = 0; index < COUNT; index++) {
    const key = randomBytes(32);
    keys.push(key);
    const id = gcm(Buffer.from(ID_KEY), Buffer.from(ID_NONCE), `user ${index}`).toString('hex');
    const record = gcm(key, randomBytes(12), `record ${index}`).toString('hex');
    await collection.insertOne({ id, record });
  }
  const documents = async () =>
    JSON.stringify(await collection.find({}).sort({ _id: 1 }).toArray());
  const before = await documents();
  // As their own files are written: with a comma too many.
  const config = (idKeyStr: string) =>
    `{"feServerConfigs": {"keySize": "32", "idKeyStr": "${idKeyStr}", "idNonceStr": "${ID_NONCE}",},
      "beServerConfigs": {"mongoURI": "${mongo?.uri}",},}`;
  const path = join(folder, 'family.yaml');
  await writeFile(path, config(ID_KEY));
  await writeFile(`${path}.wrong`, config(ID_KEY.replace('0', '9')));
  const where = [
    '--data-dir',
    join(folder, 'data'),
    ...up.toBe.map((one) => (one === '--server' ? '--be' : one)),
  ];
  const args = ['from-mongo', '--db', database, ...where, '--family-config'];

  const dry = await migrate(...args, path, '--dry-run');
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(
    dry.stdout,
    /^25 documents: 25 of Go, 0 of Python, 0 unreadable, 0 conflicts; nothing was written/,
  );
  const wrong = await migrate(...args, `${path}.wrong`);
  assert.equal(wrong.code, 4);
  assert.match(wrong.stderr, /WRONG_KEY 25 of 25 .*nothing was written/);
  assert.ok(!wrong.stderr.includes(ID_KEY.slice(1)) && !wrong.stderr.includes('user '));

  const moved = await migrate(...args, path);
  assert.equal(moved.code, 0, moved.stderr);
  assert.match(moved.stdout, /^moved 25 records, 0 were here, 0 conflicts, 0 skipped/);
  for (const [index, key] of keys.entries()) {
    const flags = ['--id', `user ${index}`, '--key', key.toString('hex'), ...up.toFe];
    if (index % 6 !== 0) continue;
    const found = await run('fe-client', ['retrieve', ...flags]);
    assert.equal(found.stdout.toString(), `record ${index}`);
  }
  assert.equal((await migrate(...args, path)).code, 7);
  const early = await migrate('finish', ...where);
  assert.equal(early.code, 7);
  assert.match(early.stderr, /CONFLICT 20 records lie as the family's servers sealed them/);
  assert.equal((await migrate('finish', '--leave', ...where)).code, 0);
  assert.equal(await documents(), before);
  await client.close();
});

test('two documents for one ID: the later one is a conflict, in the dry run too', async (t) => {
  if (mongo === undefined) return t.skip(NO_MONGO);
  const database = mongo.database();
  const client = await new MongoClient(mongo.uri).connect();
  const [first, second] = [randomBytes(32), randomBytes(32)];
  // As the Python servers do: each under its own key, and thus under another ID.
  const sealed = (key: Buffer, text: string) =>
    gcm(key, Buffer.from(ID_NONCE), text).subarray(ID_NONCE.length).toString('hex');
  await client
    .db(database)
    .collection('records')
    .insertMany([
      { id: sealed(first, 'twice'), record: sealed(first, 'one') },
      { id: sealed(second, 'twice'), record: sealed(second, 'two') },
    ]);
  const path = join(folder, 'twice.yaml');
  await writeFile(
    path,
    `{"feServerConfigs": {"idKeyStr": "${ID_KEY}", "idNonceStr": "${ID_NONCE}"},
      "beServerConfigs": {"mongoURI": "${mongo.uri}"}}`,
  );
  const keys = [second, first].map((key) => `{"id": "twice", "key": "${key.toString('hex')}"}\n`);
  await writeFile(join(folder, 'twice.jsonl'), keys.join(''));
  const where = up.toBe.map((one) => (one === '--server' ? '--be' : one));
  const args = ['from-mongo', '--db', database, '--data-dir', join(folder, 'data'), ...where];
  args.push('--family-config', path, '--keys', join(folder, 'twice.jsonl'));

  const dry = await migrate(...args, '--dry-run');
  assert.equal(dry.code, 7, dry.stderr);
  assert.match(dry.stdout, /^2 documents: 0 of Go, 2 of Python, 0 unreadable, 1 conflicts; /);
  assert.match(dry.stderr, /CONFLICT _id /);
  const moved = await migrate(...args);
  assert.equal(moved.code, 7, moved.stderr);
  assert.match(moved.stdout, /^moved 1 records, 0 were here, 1 conflicts, 0 skipped/);
  const flags = ['--id', 'twice', '--key', first.toString('hex'), ...up.toFe];
  assert.equal((await run('fe-client', ['retrieve', ...flags])).stdout.toString(), 'one');
  await client.close();
});

test('documents whose _ids have several types are gone on with after any of them', async (t) => {
  if (mongo === undefined) return t.skip(NO_MONGO);
  const database = mongo.database();
  const client = await new MongoClient(mongo.uri).connect();
  const ids = ['text', 'texts', new ObjectId(), new ObjectId(), 5, 7.5, new Date(), { x: 1 }];
  const collection = client
    .db(database)
    .collection<{ _id: unknown; id: string; record: string }>('records');
  await collection.insertMany(ids.map((_id) => ({ _id, id: '00', record: '00' })));
  const source = await openFamilySource(mongo.uri, database);
  const positionsAfter = async (after?: string) => {
    const positions: string[] = [];
    for await (const { position } of source.documents(after)) positions.push(position);
    return positions;
  };
  const all = await positionsAfter();
  assert.equal(all.length, ids.length);
  for (const [index, position] of all.entries()) {
    assert.deepEqual(await positionsAfter(position), all.slice(index + 1));
  }
  await source.close();
  await client.close();
});

test('a store is copied into that of another back end, and verified', async () => {
  const flags = ['--id', 'copied', ...up.toFe];
  const stored = await run('fe-client', ['store', '--record', 'x', ...flags]);
  assert.equal(stored.code, 0, stored.stderr);
  const target = new ServerProcess(DIST, 'be', ['--data-dir', join(folder, 'copy')], {});
  const stranger = await startUp(join(folder, 'stranger'));
  await target.start();
  try {
    const from = `be:${up.toBe.at(-1)}`;
    const to = `be:127.0.0.1:${target.port}`;
    const copied = await migrate('store', '--from', from, '--to', to, '--json');
    assert.equal(copied.code, 0, copied.stderr);
    const { same, different, targetItems } = JSON.parse(copied.stdout);
    assert.ok(same >= 1);
    assert.deepEqual([different, targetItems], [0, same]);
    const again = await migrate('store', '--from', from, '--to', to);
    assert.match(again.stdout, /^copied 0 items, \d+ were there, 0 conflicts\nverified: /);
    const refused = await migrate('store', '--from', from, '--to', `be:${stranger.toBe.at(-1)}`);
    assert.equal(refused.code, 7);
    assert.match(refused.stderr, /KEYRING_MISMATCH/);
    assert.equal((await migrate('store', '--from', from, '--to', from)).code, 2);
    assert.equal((await migrate('store', '--from', from, '--to', from.slice(3))).code, 2);
  } finally {
    await target.end('SIGKILL');
    await stranger.killAll();
  }
});
