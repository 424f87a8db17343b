/** Who has no key of a record is told nothing by guessing, in whatever place the guess stands. */
import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { FeClient } from '../../lib/fe/client.ts';
import { FamilyRecords } from '../../lib/fe/family-records.ts';
import { Migration } from '../../lib/fe/migration.ts';
import { makeToken } from '../helpers/access.ts';
import { stopClock } from '../helpers/clock.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http } from '../helpers/http.ts';
import { until } from '../helpers/programs.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';

const guess = () => randomBytes(32).toString('hex');

it('a key that is tried as the new one is counted like any other', async () => {
  const { fe, close } = await startServers({
    feServerConfigs: { writePolicy: 'key-proof', wrongKeysPerMinuteMax: 3 },
  });
  try {
    const path = '/v1/records/guarded';
    const key = guess();
    const put = (headers: Readonly<Record<string, string>>) =>
      http(fe.port, 'PUT', path, { headers, body: 'x' });
    assert.equal((await put({ 'Enc-Record-Key': key })).status, 201);
    const codes: unknown[] = [];
    for (let tries = 0; tries < 6; tries++) {
      const answer = await put({ 'Enc-Record-Key': guess() });
      codes.push(answer.json()['code']);
    }
    assert.deepEqual([...new Set(codes)], ['KEY_REQUIRED', 'RATE_LIMITED']);
    const refused = await put({ 'Enc-Record-Key': key });
    assert.equal(refused.status, 429);
    // The next is let in after a third of a minute, less what has gone by.
    const retryAfterS = Number(refused.headers['retry-after']);
    assert.ok(retryAfterS > 1 && retryAfterS <= 20, String(retryAfterS));
  } finally {
    await close();
  }
});

it('what a batch tried beyond the bound is owed, and said', async () => {
  const { fe, close } = await startServers({ feServerConfigs: { wrongKeysPerMinuteMax: 6 } });
  const client = new FeClient({ address: { host: 'localhost', port: fe.port }, attemptsMax: 1 });
  try {
    const { key } = await client.store('a', Buffer.from('x'));
    const wrong = { op: 'retrieve', id: 'a', key: randomBytes(32) } as const;
    const answers = await client.batch(Array.from({ length: 1_000 }, () => wrong));
    const tried = answers.filter(({ error }) => error?.code === 'WRONG_KEY').length;
    const refused = answers.filter(({ error }) => error?.code === 'RATE_LIMITED').length;
    assert.ok(tried >= 6 && tried <= 64, String(tried));
    assert.equal(tried + refused, 1_000);
    await rejectsWith(client.retrieve('a', key), 'RATE_LIMITED');
    const headers = { 'Enc-Record-Key': key.toString('hex') };
    const answer = await http(fe.port, 'GET', '/v1/records/a', { headers });
    // One each 10 s, and less what has gone by.
    const waitS = Math.min(60, tried - 6) * 10 + 10;
    const retryAfterS = Number(answer.headers['retry-after']);
    assert.ok(retryAfterS > waitS / 2 && retryAfterS <= waitS, `${retryAfterS} of ${waitS}`);
  } finally {
    client.close();
    await close();
  }
});

it('HEAD tells whoever has the key, where others are told nothing', async () => {
  const { fe, close } = await startServers({ feServerConfigs: { uniformErrors: true } });
  try {
    const path = '/v1/records/told';
    const head = (headers: Readonly<Record<string, string>> = {}) =>
      http(fe.port, 'HEAD', path, { headers });
    for (const once of [{}, { 'Enc-Once': '1' }]) {
      const put = { headers: { 'Enc-Ttl': '3600', ...once }, body: 'told' };
      const { key, revision } = (await http(fe.port, 'PUT', path, put)).json();
      const told = await head({ 'Enc-Record-Key': String(key) });
      assert.deepEqual([told.status, told.headers['etag']], [200, `"${revision}"`]);
      assert.ok(told.headers['enc-expires']);
      assert.equal((await head({ 'Enc-Record-Key': guess() })).status, 404);
      assert.equal((await head()).status, 403);
      const read = { headers: { 'Enc-Record-Key': String(key) } };
      assert.equal((await http(fe.port, 'GET', path, read)).status, 200);
    }
  } finally {
    await close();
  }
});

it('a rekey with a condition does not tell which IDs exist', async () => {
  const { fe, close } = await startServers({ feServerConfigs: { uniformErrors: true } });
  try {
    await http(fe.port, 'PUT', '/v1/records/there', { body: 'x' });
    for (const condition of [{ 'If-Match': '"0000000000000000"' }, { 'If-None-Match': '*' }]) {
      for (const id of ['there', 'nowhere']) {
        const headers = { 'Enc-Old-Key': guess(), 'Enc-Record-Key': guess(), ...condition };
        const answer = await http(fe.port, 'POST', `/v1/records/${id}/rekey`, { headers });
        assert.deepEqual([answer.status, answer.json()['code']], [404, 'NOT_FOUND'], id);
      }
    }
  } finally {
    await close();
  }
});

it('under uniform errors no guess tells which IDs exist, whatever its length and number', async (t) => {
  const folder = await temporaryFolder();
  const settings = (recordBytesMax: number) => ({
    feServerConfigs: {
      uniformErrors: true,
      wrongKeysPerMinuteMax: 20,
      trustedProxies: '127.0.0.0/8, ::1',
      dataDir: folder,
      recordBytesMax,
    },
    beServerConfigs: { store: 'level', dataDir: folder },
  });
  const first = await startServers(settings(1 << 20));
  await http(first.fe.port, 'PUT', '/v1/records/there', { body: Buffer.alloc(200_000) });
  await first.close();
  // From now on longer than what is taken.
  const { fe, close } = await startServers(settings(100_000));
  try {
    stopClock(t);
    let callers = 0;
    const answersOf = async (id: string, method: string, digits: number) => {
      const address = `192.0.2.${++callers}`;
      const told = [];
      for (let tries = 0; tries < 25; tries++) {
        const key = guess().slice(0, digits);
        const headers = { 'Enc-Record-Key': key, 'X-Forwarded-For': address };
        const { status, body } = await http(fe.port, method, `/v1/records/${id}`, { headers });
        told.push(`${status} ${body}`);
      }
      return told;
    };
    for (const method of ['GET', 'DELETE']) {
      for (const digits of [32, 48, 64]) {
        const there = await answersOf('there', method, digits);
        assert.deepEqual(there, await answersOf('none', method, digits), `${method} ${digits}`);
        assert.match(there.at(-1) ?? '', /^429 /);
      }
    }
  } finally {
    await close();
    await rm(folder, { recursive: true, force: true });
  }
});

it('under uniform errors a wrong key that a condition comes with is tried and counted once', async () => {
  const folder = await temporaryFolder();
  const tokens = join(folder, 'tokens.json');
  const { token } = await makeToken(tokens, ['store', 'retrieve', 'delete', 'admin']);
  const { fe, close } = await startServers({
    feServerConfigs: { uniformErrors: true, auth: 'required', tokens, wrongKeysPerMinuteMax: 4 },
  });
  try {
    const ask = (method: string, more: Readonly<Record<string, string>> = {}) => {
      const headers = { Authorization: `Bearer ${token}`, ...more };
      return http(fe.port, method, '/v1/records/there', { headers });
    };
    const { key } = (await ask('PUT')).json<{ key: string }>();
    for (const condition of [{ 'If-Match': '*' }, { 'If-None-Match': '"another"' }]) {
      const refused = await ask('DELETE', { 'Enc-Record-Key': guess(), ...condition });
      assert.deepEqual([refused.status, refused.json()['code']], [412, 'CONFLICT']);
    }
    const deleted = await ask('DELETE', { 'Enc-Record-Key': key, 'If-Match': '*' });
    assert.equal(deleted.status, 204, deleted.body.toString());
  } finally {
    await close();
    await rm(folder, { recursive: true, force: true });
  }
});

/** Moves records here as the family's Go servers sealed them. */
async function moveGoRecords(
  { folder, be }: TestServers,
  records: readonly (readonly [id: string, key: Buffer, record: Buffer])[],
): Promise<Migration> {
  const [secret, nonce] = [randomBytes(32), randomBytes(12)];
  const sealed = (key: Buffer, text: Buffer) => {
    const cipher = createCipheriv(`aes-${8 * key.length}-gcm` as 'aes-256-gcm', key, nonce);
    const parts = [nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(parts).toString('hex');
  };
  const entries = records.map(([id, key, record], index) => ({
    position: `${index}`,
    id: sealed(secret, Buffer.from(id)),
    record: sealed(key, record),
  }));
  const link = { address: { host: '127.0.0.1', port: be.port } };
  const migration = new Migration({ path: join(folder, 'fe', 'keyring.json'), link });
  const source = {
    place: 'here',
    count: async () => entries.length,
    async *documents(after = '') {
      yield* entries.filter(({ position }) => position > after);
    },
  };
  await migration.run(source, new FamilyRecords({ key: secret, nonce }), false, () => undefined);
  return migration;
}

it('under uniform errors records of the family are not told from none, opened or not', async () => {
  const servers = await startServers({
    feServerConfigs: {
      uniformErrors: true,
      wrongKeysPerMinuteMax: 5,
      trustedProxies: '127.0.0.0/8, ::1',
      recordBytesMax: 100_000,
    },
  });
  let callers = 0;
  const ask = async (method: string, path: string, more: Readonly<Record<string, string>> = {}) => {
    const told = [];
    const from = `192.0.2.${++callers}`;
    for (let tries = 0; tries < 8; tries++) {
      const headers = { 'Enc-Record-Key': guess(), 'X-Forwarded-For': from, ...more };
      const { status, body } = await http(servers.fe.port, method, path, { headers });
      told.push(`${status} ${body}`);
    }
    return told;
  };
  const checkUntold = async () => {
    for (const condition of [{}, { 'If-Match': '"0000000000000000"' }, { 'If-None-Match': '*' }]) {
      const rekey = { 'Enc-Old-Key': guess(), ...condition };
      for (const [method, more, end] of [
        ['GET', {}, ''],
        ['DELETE', {}, ''],
        ['POST', rekey, '/rekey'],
      ] as const) {
        const none = await ask(method, `/v1/records/none${end}`, more);
        assert.match(none.at(-1) ?? '', /^429 /);
        for (const id of ['there', 'large']) {
          assert.deepEqual(await ask(method, `/v1/records/${id}${end}`, more), none, method + id);
        }
      }
    }
  };
  try {
    // Short keys: with those, reading does not seal a record anew.
    const key = randomBytes(16);
    const migration = await moveGoRecords(servers, [
      ['there', key, Buffer.from('x')],
      ['large', key, Buffer.alloc(200_000)],
    ]);
    const read = async () => {
      const headers = { 'Enc-Record-Key': key.toString('hex'), 'X-Forwarded-For': '198.51.100.1' };
      return (await http(servers.fe.port, 'GET', '/v1/records/there', { headers })).status;
    };
    await until('the records to be opened', async () => (await read()) === 200 || undefined);
    await checkUntold();
    await migration.finish(true);
    await until('the end of that', async () => (await read()) !== 200 || undefined);
    await checkUntold();
  } finally {
    await servers.close();
  }
});
