/** Tokens, their file, and the limits that they and addresses have. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCertificateScopes } from '../../lib/auth/callers.ts';
import { openGate } from '../../lib/auth/gate.ts';
import { Limiter } from '../../lib/auth/limiter.ts';
import { drawToken, parseToken } from '../../lib/auth/token.ts';
import {
  changeTokens,
  decodeTokens,
  readTokens,
  type TokenEntry,
} from '../../lib/auth/token-file.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { EncServerError } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { withFolder } from '../helpers/store-values.ts';

function entryOf(id: string, facts: Partial<TokenEntry> = {}): TokenEntry {
  const hash = createHash('sha256').update(id).digest();
  const scopes = ['store'] as const;
  const none = { namespace: undefined, expiresMs: undefined, createdMs: 1_000, note: '' };
  return { id, hash, scopes, ...none, ...facts };
}

test('a token is parsed to its ID and the hash of its secret, and no other text is one', () => {
  const { id, hash, token } = drawToken();
  const [, , secret = ''] = /^est_([0-9a-f]{12})_(.{43})$/.exec(token) ?? [];
  assert.deepEqual(parseToken(Buffer.from(token)), { id, hash });
  assert.ok(hash.equals(createHash('sha256').update(secret, 'base64url').digest()));
  for (const wrong of [
    '',
    'est_',
    token.slice(0, -1),
    `${token}A`,
    token.replace('est_', 'EST_'),
    token.replace(id, id.toUpperCase().replace(/[0-9]/g, 'A')),
    ` ${token.slice(1)}`,
    `${token.slice(0, -1)}=`,
    token.replace(/.$/, '\n'),
  ]) {
    assert.equal(parseToken(Buffer.from(wrong)), undefined, wrong);
  }
});

test('of the two forms that base64url has for one secret, one is a token', () => {
  const { token } = drawToken();
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = digits.indexOf(token.at(-1) ?? '');
  const others = [1, 2, 3].map((bits) => `${token.slice(0, -1)}${digits[last ^ bits]}`);
  assert.deepEqual(
    others.map((other) => parseToken(Buffer.from(other))),
    [undefined, undefined, undefined],
  );
});

test('the file of tokens: written whole, read back, for its owner alone', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'deep', 'tokens.json');
    assert.deepEqual(await readTokens(path), []);
    const one = entryOf('0123456789ab', { expiresMs: 5_000, namespace: 'ß', note: 'for tests' });
    await changeTokens(path, () => [one]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readTokens(path), [one]);
    assert.doesNotMatch(await readFile(path, 'utf8'), /est_/);
    await chmod(path, 0o640);
    await rejectsWith(readTokens(path), 'FILE_ERROR');
  });
});

test('changes at the same moment are all there', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'tokens.json');
    const ids = Array.from({ length: 12 }, (_none, index) => `${index}`.padStart(12, '0'));
    await Promise.all(ids.map((id) => changeTokens(path, (entries) => [...entries, entryOf(id)])));
    assert.deepEqual((await readTokens(path)).map(({ id }) => id).sort(), ids);
  });
});

test('a change that fails leaves the file and no lock', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'tokens.json');
    await changeTokens(path, () => [entryOf('0123456789ab')]);
    const refuse = () => {
      throw new EncServerError('NOT_FOUND', 'no');
    };
    await rejectsWith(changeTokens(path, refuse), 'NOT_FOUND');
    await changeTokens(path, (entries) => entries);
    assert.equal((await readTokens(path)).length, 1);
  });
});

test('a damaged file is refused, and nothing of it is quoted', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'tokens.json');
    await changeTokens(path, () => [entryOf('0123456789ab'), entryOf('ba9876543210')]);
    const text = await readFile(path, 'utf8');
    const damages: [string, string][] = [
      ['cut', text.slice(0, -20)],
      ['format', text.replace('tokens"', 'token"')],
      ['newer version', text.replace('"version": 1', '"version": 2')],
      ['ID', text.replace('0123456789ab', '0123456789aB')],
      ['twice', text.replace('ba9876543210', '0123456789ab')],
      ['scope', text.replace('"store"', '"everything"')],
      ['no scopes', text.replaceAll('"store"', '')],
      ['hash', text.replace(/"sha256": "./, '"sha256": "')],
      ['time', text.replace('1970', 'then')],
      ['member', text.replace('"id"', '"secret": "hunter2", "id"')],
    ];
    for (const [what, damaged] of damages) {
      assert.notEqual(damaged, text, what);
      await writeFile(path, damaged);
      const error = await rejectsWith(readTokens(path), 'FILE_ERROR');
      assert.doesNotMatch(error.describe(), /hunter2|everything|[0-9a-f]{32}/, what);
    }
  });
});

test('whatever a file of tokens holds, it is read or refused', () => {
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"format":"enc-server-ts tokens","version":1}',
    '1',
  ]) {
    assert.throws(() => decodeTokens(text, 'here'), { code: 'FILE_ERROR' });
  }
});

test('a bucket fills at its pace, and each has its own', () => {
  let now = 0;
  const limiter = new Limiter(3, 3_000, () => now);
  const takes = (count: number, who: string) =>
    Array.from({ length: count }, () => limiter.take(who));
  assert.deepEqual(takes(4, 'a'), [true, true, true, false]);
  assert.equal(limiter.has('a'), false);
  assert.equal(limiter.has('b'), true);
  assert.deepEqual(takes(1, 'b'), [true]);
  now = 999;
  assert.equal(limiter.take('a'), false);
  now = 1_000;
  assert.deepEqual(takes(2, 'a'), [true, false]);
  now = 1_000_000;
  assert.deepEqual(takes(4, 'a'), [true, true, true, false]);
});

test('what happened beyond the bound is owed and waited off, for ten windows at most', () => {
  let now = 0;
  const limiter = new Limiter(3, 3_000, () => now);
  for (let count = 0; count < 8; count++) limiter.note('a');
  assert.equal(Math.round(limiter.dueMs('a')), 6_000);
  now = 5_999;
  assert.equal(limiter.has('a'), false);
  assert.equal(Math.round(limiter.dueMs('a')), 1);
  now = 6_000;
  assert.equal(limiter.dueMs('a'), 0);
  assert.equal(limiter.has('a'), true);
  for (let count = 0; count < 1_000; count++) limiter.note('b');
  now += 29_999;
  assert.equal(limiter.has('b'), false);
  now += 1;
  assert.equal(limiter.has('b'), true);
  const one = new Limiter(1, 60_000, () => now);
  assert.equal(one.owe('c', 1_000), -9);
  assert.equal(one.dueMs('c'), 600_000);
});

test('without a bound nothing is counted, and what is counted is bounded', () => {
  const unbounded = new Limiter(0, 1_000);
  assert.ok(Array.from({ length: 1_000 }, () => unbounded.take('a')).every(Boolean));
  const limiter = new Limiter(1, 1_000, () => 0);
  for (let index = 0; index < 30_000; index++) assert.ok(limiter.take(`address ${index}`));
  assert.equal(limiter.take('address 29999'), false);
  // The first ones were forgotten, and begin anew.
  assert.equal(limiter.take('address 0'), true);
});

test('scopes of certificates: names, scopes, namespaces', () => {
  const grants = parseCertificateScopes('fe=frontend, Ops=admin+store@team-1');
  assert.deepEqual(
    [...grants],
    [
      ['fe', { scopes: ['frontend'], namespace: undefined }],
      ['ops', { scopes: ['admin', 'store'], namespace: 'team-1' }],
    ],
  );
  const [granted] = parseCertificateScopes('fe=store+retrieve@team=x@example.com').values();
  assert.equal(granted?.namespace, 'team=x@example.com');
  assert.throws(() => parseCertificateScopes('fe=root'), { code: 'BAD_CONFIG' });
  assert.throws(() => parseCertificateScopes('fe=store@a, FE=store@b'), /FE is there twice/);
});

test('a mistake in the scopes of certificates is told where nobody must identify himself', async () => {
  const { config } = await loadConfig({
    file: '/dev/null',
    env: { HOME: '/home/u' },
    flags: { feServerConfigs: { auth: 'none', certificateScopes: 'fe=root' } },
  });
  await rejectsWith(openGate(config.feServerConfigs, 'fe', silentLog), 'BAD_CONFIG');
});
