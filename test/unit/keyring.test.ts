import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createKeyring, loadKeyring } from '../../lib/crypto/keyring.ts';
import { decodeKeyring, encodeKeyring } from '../../lib/crypto/keyring-file.ts';
import { EncServerError } from '../../lib/errors.ts';

const SECRET_HEX = /[0-9a-f]{64}/;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyring-test-'));
});
after(() => rm(folder, { recursive: true }));

type Json = Record<string, unknown>;

/** A fresh keyring's file, changed as a careless editor could. */
async function changed(name: string, change: (file: Json) => unknown): Promise<string> {
  const path = join(folder, name);
  await createKeyring(path);
  const file = JSON.parse(await readFile(path, 'utf8')) as Json;
  const result = change(file) ?? file;
  await writeFile(path, JSON.stringify(result));
  return path;
}

/** The first entry of a list of the file. */
function entryOf(file: Json, list = 'entries'): Json {
  return (file[list] as Json[])[0] ?? {};
}

test('a keyring is made once, and read back the same', async () => {
  const path = join(folder, 'one', 'two', 'keyring.json');
  const made = await createKeyring(path);
  assert.equal(made.keyringId.length, 16);
  assert.equal(made.epoch, 1);
  for (const list of [made.entries, made.wrapEntries]) {
    assert.deepEqual(
      list.map(({ number, state, secret }) => [number, state, secret.length]),
      [[1, 'active', 32]],
    );
  }
  assert.notDeepEqual(made.entries[0]?.secret, made.wrapEntries[0]?.secret);
  assert.deepEqual(await loadKeyring(path), made);
});

test('only the owner may read the keyring and enter its folder', async () => {
  const path = join(folder, 'modes', 'keyring.json');
  await createKeyring(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(join(folder, 'modes'))).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(join(folder, 'modes')), ['keyring.json']);
});

test('a keyring that is there is never replaced', async () => {
  const path = join(folder, 'twice', 'keyring.json');
  const first = await createKeyring(path);
  await assert.rejects(createKeyring(path), { code: 'CONFLICT' });
  assert.deepEqual(await loadKeyring(path), first);
  assert.deepEqual(await readdir(join(folder, 'twice')), ['keyring.json']);
});

test('of many who make the keyring at once, one wins', async () => {
  const path = join(folder, 'race', 'keyring.json');
  const all = await Promise.allSettled(Array.from({ length: 8 }, () => createKeyring(path)));
  const won = all.filter((one) => one.status === 'fulfilled');
  assert.equal(won.length, 1);
  assert.deepEqual(await loadKeyring(path), won[0]?.value);
  assert.deepEqual(await readdir(join(folder, 'race')), ['keyring.json']);
});

test('a keyring that is not there is undefined', async () => {
  assert.equal(await loadKeyring(join(folder, 'nowhere', 'keyring.json')), undefined);
});

test('a keyring that others may use is refused', async () => {
  const path = join(folder, 'unsafe.json');
  await createKeyring(path);
  for (const mode of [0o640, 0o604, 0o620, 0o601, 0o666]) {
    await chmod(path, mode);
    await assert.rejects(loadKeyring(path), { code: 'KEYRING_UNSAFE' });
  }
  await chmod(path, 0o400);
  assert.ok(await loadKeyring(path));
});

test('what is no file, or cannot be one, is FILE_ERROR', async () => {
  const file = join(folder, 'plain');
  await writeFile(file, 'text');
  await mkdir(join(folder, 'is-a-folder'), { mode: 0o700 });
  const fileError = { code: 'FILE_ERROR' };
  await assert.rejects(loadKeyring(join(folder, 'is-a-folder')), fileError);
  await assert.rejects(loadKeyring(join(file, 'keyring.json')), fileError);
  await assert.rejects(createKeyring(join(file, 'keyring.json')), fileError);
});

test('a keyring cut anywhere is refused', async () => {
  const path = join(folder, 'cut.json');
  const whole = encodeKeyring(await createKeyring(path));
  assert.deepEqual(await readFile(path), whole);
  // The last two bytes are the closing brace and a line feed; without the latter it is whole.
  for (let bytes = 0; bytes < whole.length - 1; bytes++) {
    assert.throws(() => decodeKeyring(whole.subarray(0, bytes)), { code: 'KEYRING_DAMAGED' });
  }
  decodeKeyring(whole.subarray(0, -1));
  await writeFile(path, whole.subarray(0, 300));
  await assert.rejects(loadKeyring(path), { code: 'KEYRING_DAMAGED' });
});

test('a keyring with any digit changed is refused', async () => {
  const whole = encodeKeyring(await createKeyring(join(folder, 'digits.json')));
  const text = whole.toString('utf8');
  const from = text.indexOf('"keyringId"');
  for (let at = from; at < text.length; at++) {
    const digit = text.charAt(at);
    if (!/[0-9a-f]/.test(digit)) continue;
    const other = `${text.slice(0, at)}${digit === '1' ? '2' : '1'}${text.slice(at + 1)}`;
    assert.throws(() => decodeKeyring(Buffer.from(other)), { code: 'KEYRING_DAMAGED' });
  }
});

const DAMAGES: readonly [string, (file: Json) => unknown][] = [
  ['no object', () => []],
  ['another format', (file) => Object.assign(file, { format: 'other' })],
  ['version 0', (file) => Object.assign(file, { version: 0 })],
  ['no version', (file) => void delete file['version']],
  ['no provider', (file) => void delete file['provider']],
  ['an unknown member', (file) => Object.assign(file, { surprise: 1 })],
  ['no checksum', (file) => void delete file['checksum']],
  ['another checksum', (file) => Object.assign(file, { checksum: '00'.repeat(32) })],
  ['another epoch', (file) => Object.assign(file, { epoch: 2 })],
  ['epoch 0', (file) => Object.assign(file, { epoch: 0 })],
  ['epoch as text', (file) => Object.assign(file, { epoch: '1' })],
  ['a short ID', (file) => Object.assign(file, { keyringId: 'c0' })],
  ['entries that are no list', (file) => Object.assign(file, { entries: {} })],
  ['no entries', (file) => Object.assign(file, { entries: [] })],
  ['an entry that is no object', (file) => Object.assign(file, { wrapEntries: [1] })],
  [
    'the same entry twice',
    (file) => Object.assign(file, { entries: [entryOf(file), entryOf(file)] }),
  ],
  ['an unknown member of an entry', (file) => Object.assign(entryOf(file), { surprise: 1 })],
  ['an unknown state', (file) => Object.assign(entryOf(file), { state: 'burned' })],
  ['no active entry', (file) => Object.assign(entryOf(file), { state: 'retired' })],
  ['entry number 65536', (file) => Object.assign(entryOf(file), { number: 65_536 })],
  ['a secret in capitals', (file) => Object.assign(entryOf(file), { secret: 'AB'.repeat(32) })],
  ['a secret of 31 bytes', (file) => Object.assign(entryOf(file), { secret: 'ab'.repeat(31) })],
  [
    'secrets exchanged',
    (file) => {
      const [one, other] = [entryOf(file), entryOf(file, 'wrapEntries')];
      [one['secret'], other['secret']] = [other['secret'], one['secret']];
    },
  ],
];

for (const [name, change] of DAMAGES) {
  test(`a damaged keyring is refused: ${name}`, async () => {
    const path = await changed(`damaged ${name}.json`, change);
    await assert.rejects(loadKeyring(path), (thrown) => {
      assert.ok(thrown instanceof EncServerError);
      assert.equal(thrown.code, 'KEYRING_DAMAGED');
      assert.doesNotMatch(`${thrown.describe()}${thrown.stack}${thrown.cause}`, SECRET_HEX);
      return true;
    });
  });
}

test('what the parser of JSON says about a broken file, secrets and all, stays inside', () => {
  const broken = Buffer.from(`"${'ab'.repeat(32)}" ${'cd'.repeat(32)}`);
  assert.throws(
    () => decodeKeyring(broken),
    (thrown) => {
      assert.ok(thrown instanceof EncServerError);
      assert.equal(thrown.cause, undefined);
      assert.doesNotMatch(`${thrown.describe()}${thrown.stack}`, /(?:ab|cd){4}/);
      return true;
    },
  );
});

test('a keyring of a newer release is refused with a hint of its own', async () => {
  const newer: readonly [string, Json][] = [
    ['newer version', { version: 2 }],
    ['newer provider', { provider: 'hsm' }],
  ];
  for (const [name, members] of newer) {
    const path = await changed(`${name}.json`, (file) => Object.assign(file, members));
    await assert.rejects(
      loadKeyring(path),
      (thrown) =>
        thrown instanceof EncServerError &&
        thrown.code === 'KEYRING_DAMAGED' &&
        thrown.hint.startsWith('update this program'),
    );
  }
});

test('spacing, order and the remark of the file do not matter', async () => {
  const path = await changed('spacing.json', (file) => {
    const { about, ...rest } = file;
    assert.equal(typeof about, 'string');
    return Object.fromEntries(Object.entries(rest).reverse());
  });
  assert.ok(await loadKeyring(path));
});

test('a file too large for a keyring is not read', async () => {
  const path = join(folder, 'large.json');
  await writeFile(path, Buffer.alloc(16 * 1024 * 1024 + 1, ' '), { mode: 0o600 });
  await assert.rejects(loadKeyring(path), { code: 'KEYRING_DAMAGED' });
});

test('a keyring that is no UTF-8 is damaged', () => {
  const file = encodeKeyring({
    keyringId: Buffer.alloc(16, 1),
    epoch: 1,
    entries: [{ number: 1, state: 'active', secret: Buffer.alloc(32, 2) }],
    wrapEntries: [{ number: 1, state: 'active', secret: Buffer.alloc(32, 3) }],
  });
  decodeKeyring(file);
  const at = file.indexOf('about') + 10;
  file[at] = 0xff;
  assert.throws(() => decodeKeyring(file), { code: 'KEYRING_DAMAGED' });
});
