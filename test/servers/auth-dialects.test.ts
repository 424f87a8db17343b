/** Who may do what, through every dialect of both real servers. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BeClient } from '../../lib/be/client.ts';
import type { EncServerError } from '../../lib/errors.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { decodeError } from '../../lib/protocol/error-reply.ts';
import { bytesField } from '../../lib/protocol/fields.ts';
import type { Frame } from '../../lib/protocol/frame.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { makeToken, revokeToken, type TestToken } from '../helpers/access.ts';
import { stopClock } from '../helpers/clock.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { http } from '../helpers/http.ts';
import { startServers, type TestServers, temporaryFolder } from '../helpers/servers.ts';
import { until, Wire } from '../helpers/wire.ts';

const WRONG_KEYS = 20;
const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
const OTHER_KEY = Buffer.from(KEY).reverse();

let servers: TestServers;
let feTokens: string;
let all: TestToken;
let frontend: TestToken;
const clients: { close(): void }[] = [];

before(async () => {
  const folder = await temporaryFolder();
  feTokens = join(folder, 'fe.json');
  const beTokens = join(folder, 'be.json');
  all = await makeToken(feTokens, ['store', 'retrieve', 'delete', 'admin']);
  frontend = await makeToken(beTokens, ['frontend']);
  const shared = {
    auth: 'required',
    wrongKeysPerMinuteMax: WRONG_KEYS,
    wrongTokensPerMinuteMax: 10,
  };
  servers = await startServers({
    feServerConfigs: { ...shared, tokens: feTokens, trustedProxies: '127.0.0.0/8, ::1' },
    beServerConfigs: { auth: 'required', tokens: beTokens },
    beClientConfigs: { token: frontend.token },
  });
});
after(async () => {
  for (const client of clients) client.close();
  await servers.close();
});

function feClient(token?: string): FeClient {
  const address = { host: '127.0.0.1', port: servers.fe.port };
  const client = new FeClient({ address, token, attemptsMax: 1 });
  clients.push(client);
  return client;
}

function beClient(token?: string): BeClient {
  const client = new BeClient({ address: { host: '127.0.0.1', port: servers.be.port }, token });
  clients.push(client);
  return client;
}

/** From an address of its own, as a proxy tells it. */
function from(address: string, token: string | undefined, headers: Record<string, string> = {}) {
  const bearer = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  return { headers: { 'X-Forwarded-For': address, ...bearer, ...headers } };
}

function codeOf(frame: Frame): string {
  return frame.code === 0 ? 'ok' : decodeError(frame).code;
}

test('text: nobody may ask before AUTH, and everyone for help', async () => {
  const wire = await Wire.open(servers.fe.port);
  wire.send('STORE bob hi\nINFO\nPING\nAUTH est_nonsense\n');
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED /);
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED /);
  assert.equal(await wire.line(), 'PONG');
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED /);
  wire.send(`AUTH ${all.token}\nSTORE bob hi\n`);
  assert.equal(await wire.line(), 'SUCCESS');
  const key = await wire.line();
  wire.send(`RETRIEVE bob ${key}\n`);
  assert.equal(await wire.line(), 'hi');
  wire.close();
});

test('text: a wrong AUTH in mid-stream takes away what the one before gave', async () => {
  const wire = await Wire.open(servers.fe.port);
  const wrong = `${all.token.slice(0, -5)}AAAAA`;
  wire.send(`AUTH ${all.token}\nSTORE bob hi\nAUTH ${wrong}\nSTORE bob again\nAUTH\n`);
  assert.equal(await wire.line(), 'SUCCESS');
  assert.match(await wire.line(), /^[0-9a-f]{64}$/);
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED there is no such token/);
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED /);
  assert.match(await wire.line(), /^ERROR MISSING_FIELD /);
  wire.close();
});

test('frames: a token in HELLO is the connection’s, in another request that one’s', async () => {
  const wire = await Wire.open(servers.fe.port);
  const token = bytesField(FIELD.TOKEN, Buffer.from(all.token));
  const id = bytesField(FIELD.ID, Buffer.from('bob'));
  const key = bytesField(FIELD.KEY, KEY);
  wire.request(OPCODE.STORE, 1, [id, key], 'one');
  assert.equal(codeOf(await wire.frame()), 'UNAUTHENTICATED');
  wire.request(OPCODE.STORE, 2, [id, key, token], 'two');
  assert.equal(codeOf(await wire.frame()), 'ok');
  wire.request(OPCODE.RETRIEVE, 3, [id, key]);
  assert.equal(codeOf(await wire.frame()), 'UNAUTHENTICATED');
  wire.request(OPCODE.HELLO, 4, [token]);
  assert.equal(codeOf(await wire.frame()), 'ok');
  wire.request(OPCODE.RETRIEVE, 5, [id, key]);
  assert.equal(`${(await wire.frame()).body}`, 'two');
  wire.close();
});

test('HTTP: a bearer token, and 401 with WWW-Authenticate without one', async () => {
  const { port } = servers.fe;
  for (const path of ['/data', '/v1/records/x', '/records/61?key=00', '/metrics']) {
    const answer = await http(port, 'GET', path, from('192.0.2.1', undefined));
    const malformed = path.startsWith('/records');
    assert.equal(answer.status, malformed ? 400 : path === '/v1/records/x' ? 400 : 401, path);
    if (answer.status === 401) assert.equal(answer.headers['www-authenticate'], 'Bearer');
  }
  for (const authorization of ['Bearer', 'Basic YTpi', `Bearer ${all.token}x`, all.token]) {
    const headers = { Authorization: authorization, 'X-Forwarded-For': '192.0.2.1' };
    assert.equal((await http(port, 'GET', '/data', { headers })).status, 401, authorization);
  }
  assert.deepEqual((await http(port, 'GET', '/data', from('192.0.2.1', all.token))).json(), []);
  assert.equal((await http(port, 'GET', '/healthz', from('192.0.2.1', undefined))).status, 200);
});

test('a token in a URL is refused, whatever else is right', async () => {
  for (const url of [`/data?token=${all.token}`, '/data?access_token=x', `/x/${all.token}`]) {
    const answer = await http(servers.fe.port, 'GET', url, from('192.0.2.1', all.token));
    assert.equal(answer.status, 403, url);
    assert.doesNotMatch(answer.body.toString(), /est_[0-9a-f]/);
  }
});

test('a token in a URL is refused, whatever of it or before it is escaped', async () => {
  const { token } = all;
  const escaped = `%65${token.slice(1)}`;
  const whole = Buffer.from(token).toString('hex').replace(/../g, '%$&');
  for (const url of [
    `/v1/records/token%3D${token}`,
    `/v1/records/Bearer%20${token}`,
    `/v1/records/%22${token}%22`,
    `/v1/records/x${token}`,
    `/data?x=${escaped}`,
    `/data?x=${whole}`,
    `/data?x=%ff${escaped}`,
    '/data?%74oken=x',
  ]) {
    const answer = await http(servers.fe.port, 'GET', url, from('192.0.2.1', token));
    assert.equal(answer.status, 403, url.replaceAll(token, 'TOKEN'));
  }
});

test('what only looks like a token in a URL is an ID', async () => {
  const headers = { 'enc-record-key': KEY.toString('hex') };
  for (const id of [
    'test_data_1',
    'est_abc_def',
    'latest_0123456789ab_x',
    'token',
    'my-token=1',
    'a%3Ftoken=1',
  ]) {
    const call = from('192.0.2.1', all.token, headers);
    const answer = await http(servers.fe.port, 'GET', `/v1/records/${id}`, call);
    assert.equal(answer.status, 404, id);
  }
});

test('without the scope it is NOT_ALLOWED', async () => {
  const { token } = await makeToken(feTokens, ['store']);
  await untilKnown(token);
  const client = feClient(token);
  await client.store('carol', Buffer.from('x'), { key: KEY });
  await rejectsWith(client.retrieve('carol', KEY), 'NOT_ALLOWED');
  await rejectsWith(client.delete('carol'), 'NOT_ALLOWED');
  await rejectsWith(client.head('carol'), 'NOT_ALLOWED');
  await rejectsWith(client.info(), 'NOT_ALLOWED');
  await client.ping();
});

test('a token with a namespace means it, and may touch no other', async () => {
  const { token } = await makeToken(feTokens, ['store', 'retrieve'], { namespace: 'team' });
  await untilKnown(token);
  const client = feClient(token);
  await client.store('dave', Buffer.from('ours'), { key: KEY });
  await client.store('dave', Buffer.from('ours'), { key: KEY, namespace: 'team' });
  await rejectsWith(client.store('dave', KEY, { namespace: 'other' }), 'NOT_ALLOWED');
  assert.equal(`${(await client.retrieve('dave', KEY, { namespace: '' })).record}`, 'ours');
  const everywhere = feClient(all.token);
  await rejectsWith(everywhere.retrieve('dave', KEY), 'NOT_FOUND');
  assert.equal(`${(await everywhere.retrieve('dave', KEY, { namespace: 'team' })).record}`, 'ours');
  const headers = { 'enc-record-key': KEY.toString('hex'), 'enc-namespace': '' };
  const answer = await http(
    servers.fe.port,
    'GET',
    '/v1/records/dave',
    from('192.0.2.1', token, headers),
  );
  assert.equal(answer.body.toString(), 'ours');
  assert.equal((await http(servers.fe.port, 'GET', '/data', from('192.0.2.1', token))).status, 403);
});

test('a token ends with its time, and when it is revoked, on open connections too', async (t) => {
  const expiresMs = Date.now() + 60_000;
  const short = await makeToken(feTokens, ['store'], { expiresMs });
  const revoked = await makeToken(feTokens, ['store']);
  await untilKnown(revoked.token);
  const [first, second] = [feClient(short.token), feClient(revoked.token)];
  await first.store('erin', KEY, { key: KEY });
  await second.store('erin', KEY, { key: KEY });
  await revokeToken(feTokens, revoked.id);
  await untilCode(() => second.store('erin', KEY, { key: KEY }), 'UNAUTHENTICATED');
  await first.store('erin', KEY, { key: KEY });
  t.mock.timers.enable({ apis: ['Date'], now: expiresMs + 1 });
  await rejectsWith(first.store('erin', KEY, { key: KEY }), 'UNAUTHENTICATED');
  const wire = await Wire.open(servers.fe.port);
  wire.send(`AUTH ${short.token}\nAUTH ${revoked.token}\n`);
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED the token has expired/);
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED there is no such token/);
  wire.close();
});

test('the back end takes its front ends alone', async () => {
  const nobody = beClient();
  await nobody.ping();
  await rejectsWith(nobody.store('x', KEY), 'UNAUTHENTICATED');
  await rejectsWith(nobody.info(), 'UNAUTHENTICATED');
  await rejectsWith(beClient(all.token).store('x', KEY), 'UNAUTHENTICATED');
  const known = beClient(frontend.token);
  await known.store('x', KEY);
  assert.ok((await known.retrieve('x')).equals(KEY));
  const wire = await Wire.open(servers.be.port);
  wire.send(`STORE 61 62\nAUTH ${frontend.token}\nSTORE 61 62\n`);
  assert.match(await wire.line(), /^ERROR UNAUTHENTICATED /);
  assert.equal(await wire.line(), 'SUCCESS');
  assert.equal(await wire.line(), 'SUCCESS');
  wire.close();
});

test('a front end that the back end does not take starts not, and says why', async () => {
  const tokens = join(await temporaryFolder(), 'be.json');
  const start = startServers({ beServerConfigs: { auth: 'required', tokens } });
  await rejectsWith(start, 'UNAUTHENTICATED');
});

test('what is between the servers is no answer to a caller', async () => {
  const tokens = join(await temporaryFolder(), 'be.json');
  const { id, token } = await makeToken(tokens, ['frontend']);
  const alone = await startServers({
    beServerConfigs: { auth: 'required', tokens },
    beClientConfigs: { token },
  });
  const client = new FeClient({ address: { host: '127.0.0.1', port: alone.fe.port } });
  try {
    await client.store('gina', KEY, { key: KEY });
    await revokeToken(tokens, id);
    await untilCode(() => client.store('gina', KEY, { key: KEY }), 'UNAVAILABLE');
    const error = await rejectsWith(client.retrieve('gina', KEY), 'UNAVAILABLE');
    assert.match(error.message, /the back end does not take this front end \(UNAUTHENTICATED/);
  } finally {
    client.close();
    await alone.close();
  }
});

test('a front end that its back end slows down is not told to identify itself', async () => {
  const slow = await startServers({ beServerConfigs: { requestsPerSecondMax: 3 } });
  const address = { host: '127.0.0.1', port: slow.fe.port };
  const client = new FeClient({ address, attemptsMax: 1 });
  try {
    let told = '';
    await until(async () => {
      const stored = client.store('hugo', KEY, { key: KEY });
      told = await stored.then(
        () => '',
        (error: EncServerError) => error.describe(),
      );
      return told !== '';
    });
    assert.match(told, /UNAVAILABLE .*RATE_LIMITED.*requestsPerSecondMax in beServerConfigs/);
  } finally {
    client.close();
    await slow.close();
  }
});

test('who tries many wrong keys is slowed down, and nobody else', async (t) => {
  stopClock(t);
  await feClient(all.token).store('frank', Buffer.from('safe'), { key: KEY });
  const { token } = await makeToken(feTokens, ['retrieve']);
  await untilKnown(token);
  const get = (address: string, by: string, key: Buffer) =>
    http(
      servers.fe.port,
      'GET',
      '/v1/records/frank',
      from(address, by, { 'enc-record-key': key.toString('hex') }),
    );
  for (let tries = 0; tries < WRONG_KEYS; tries++) {
    assert.equal((await get('192.0.2.7', token, OTHER_KEY)).status, 403);
  }
  const limited = await get('192.0.2.7', token, KEY);
  assert.equal(limited.status, 429);
  assert.equal(limited.json()['code'], 'RATE_LIMITED');
  assert.ok(limited.headers['retry-after']);
  // Neither from another address, nor by another token from this one.
  assert.equal((await get('192.0.2.8', token, KEY)).status, 429);
  assert.equal((await get('192.0.2.7', all.token, KEY)).status, 429);
  assert.equal((await get('192.0.2.8', all.token, KEY)).status, 200);
});

test('both servers say over HTTP when who asks too often is let in again', async (t) => {
  stopClock(t);
  const slow = { requestsPerSecondMax: 3 };
  const { fe, be, close } = await startServers({ feServerConfigs: slow, beServerConfigs: slow });
  try {
    for (const { port } of [fe, be]) {
      const answers = [];
      for (let count = 0; count < 5; count++) answers.push(await http(port, 'GET', '/metrics'));
      const limited = answers.filter(({ status }) => status === 429);
      assert.ok(limited.length > 0);
      for (const { headers } of limited) assert.equal(headers['retry-after'], '1');
    }
  } finally {
    await close();
  }
});

test('who tries many wrong tokens is slowed down, right ones included', async (t) => {
  stopClock(t);
  const wrong = `${all.token.slice(0, -5)}AAAAA`;
  const get = (address: string, token: string) =>
    http(servers.fe.port, 'GET', '/data', from(address, token)).then(({ status }) => status);
  for (let tries = 0; tries < 10; tries++) assert.equal(await get('192.0.2.9', wrong), 401);
  assert.equal(await get('192.0.2.9', wrong), 429);
  assert.equal(await get('192.0.2.9', all.token), 429);
  assert.equal(await get('192.0.2.10', all.token), 200);
});

/** Running servers see a new token soon. */
async function untilKnown(token: string): Promise<void> {
  for (let index = 0; ; index++) {
    // Each from an address of its own: the limits are tried elsewhere.
    const answer = await http(servers.fe.port, 'GET', '/docs', from(`198.51.100.${index}`, token));
    if (answer.status !== 401) return;
    await sleep(50);
  }
}

async function untilCode(ask: () => Promise<unknown>, code: string): Promise<void> {
  for (;;) {
    const seen = await ask().then(
      () => 'ok',
      (error) => error.code,
    );
    if (seen === code) return;
    assert.equal(seen, 'ok');
    await sleep(50);
  }
}
