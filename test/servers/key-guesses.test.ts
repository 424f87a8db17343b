/** Who has no key of a record is told nothing by guessing, in whatever place the guess stands. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { makeToken } from '../helpers/access.ts';
import { http } from '../helpers/http.ts';
import { startServers, temporaryFolder } from '../helpers/servers.ts';

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
    assert.equal((await put({ 'Enc-Record-Key': key })).status, 429);
  } finally {
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

it('under uniform errors no guess tells which IDs exist, whatever its length and number', async () => {
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
