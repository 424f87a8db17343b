/** TLS on both ports, with certificates made for the test. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { BeClient, type TlsClientFiles } from '../../lib/be/client.ts';
import { startBe } from '../../lib/be/server.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { startFe } from '../../lib/fe/server.ts';
import { silentLog } from '../../lib/log.ts';
import { checkListening } from '../../lib/net/host-policy.ts';
import { makeToken } from '../helpers/access.ts';
import { makeCertificates, type TestCertificates } from '../helpers/certificates.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startServers, type TestServers, temporaryFolder, testConfig } from '../helpers/servers.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_none, index) => index));
const HANDSHAKES_MAX = 4;

let certificates: TestCertificates;
/** Of an authority that the servers do not know. */
let foreign: TestCertificates;
let servers: TestServers;
let token: string;
const clients: { close(): void }[] = [];

before(async () => {
  const folder = await temporaryFolder();
  certificates = await makeCertificates(join(folder, 'tls'));
  foreign = await makeCertificates(join(folder, 'foreign'));
  const tokens = join(folder, 'tokens.json');
  ({ token } = await makeToken(tokens, ['store', 'retrieve', 'delete']));
  const shared = { auth: 'required', tlsClientCa: certificates.ca, firstByteTimeoutMs: 1_000 };
  servers = await startServers({
    feServerConfigs: {
      ...shared,
      ...certificates.leaf('fe'),
      tokens,
      handshakesMax: HANDSHAKES_MAX,
    },
    beServerConfigs: { ...shared, ...certificates.leaf('be') },
    beClientConfigs: { tlsCa: certificates.ca, ...certificates.leaf('fe') },
  });
});
after(async () => {
  for (const client of clients) client.close();
  await servers.close();
});

function feClient(tls: TlsClientFiles | undefined, host = 'localhost'): FeClient {
  const address = { host, port: servers.fe.port };
  const client = new FeClient({ address, tls, token, attemptsMax: 1, timeoutMs: 3_000 });
  clients.push(client);
  return client;
}

function beClient(tls: TlsClientFiles): BeClient {
  const client = new BeClient({ address: { host: 'localhost', port: servers.be.port }, tls });
  clients.push(client);
  return client;
}

async function openTls(options: ConnectionOptions = {}): Promise<TLSSocket> {
  const ca = readFileSync(certificates.ca);
  const to = { port: servers.fe.port, host: '127.0.0.1', servername: 'localhost', ca };
  const socket = connectTls({ ...to, ...options });
  await new Promise((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

async function allOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test('frames, text and HTTP inside TLS, large records too', async () => {
  const client = feClient({ tlsCa: certificates.ca });
  const record = Buffer.alloc(3_000_000, 'x');
  await client.store('large', record, { key: KEY });
  assert.ok((await client.retrieve('large', KEY)).record.equals(record));
  const text = await openTls();
  text.end(`AUTH ${token}\nSTORE bob hi\nQUIT\n`);
  assert.match(await allOf(text), /^SUCCESS\n[0-9a-f]{64}\n$/);
  const status = await new Promise((resolve, reject) => {
    const headers = { Authorization: `Bearer ${token}` };
    const ca = readFileSync(certificates.ca);
    const options = { host: 'localhost', port: servers.fe.port, path: '/data', headers, ca };
    request({ ...options, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    })
      .on('error', reject)
      .end();
  });
  assert.equal(status, 200);
});

test('TLS 1.3, the protocol of HTTP by ALPN, and no renegotiation', async () => {
  const socket = await openTls({ ALPNProtocols: ['http/1.1'] });
  assert.equal(socket.getProtocol(), 'TLSv1.3');
  assert.equal(socket.alpnProtocol, 'http/1.1');
  socket.destroy();
  await assert.rejects(openTls({ maxVersion: 'TLSv1.2' }), { code: /ALERT_PROTOCOL_VERSION/ });
});

test('1.2 by choice; renegotiation is refused', async () => {
  const folder = await temporaryFolder();
  const config = await testConfig(folder, {
    beServerConfigs: { ...certificates.leaf('be'), tlsMinVersion: '1.2' },
  });
  const be = await startBe(config, silentLog);
  try {
    const socket = await openTls({ port: be.port, maxVersion: 'TLSv1.2' });
    assert.equal(socket.getProtocol(), 'TLSv1.2');
    const failed = await new Promise<boolean>((resolve) => {
      socket.on('error', () => resolve(true));
      socket.on('close', () => resolve(true));
      socket.renegotiate({}, (error) => resolve(error !== null));
    });
    assert.ok(failed);
    socket.destroy();
  } finally {
    await be.close();
  }
});

test('a front end is known by its certificate, others are not', async () => {
  await feClient({ tlsCa: certificates.ca }).store('known', KEY, { key: KEY });
  const admin = beClient({ tlsCa: certificates.ca, ...certificates.leaf('admin') });
  assert.equal((await admin.info())['ok'], true);
  await rejectsWith(beClient({ tlsCa: certificates.ca }).info(), 'UNAUTHENTICATED');
  // The certificate is valid, and its name is none that may ask.
  const be = beClient({ tlsCa: certificates.ca, ...certificates.leaf('be') });
  await rejectsWith(be.info(), 'UNAUTHENTICATED');
});

test('a client certificate of another authority is refused in words', async () => {
  const stranger = beClient({ tlsCa: certificates.ca, ...foreign.leaf('fe') });
  const error = await rejectsWith(stranger.info(), 'UNAUTHENTICATED');
  assert.match(error.message, /client certificate is not valid/);
});

test('an expired client certificate is refused in words', async () => {
  const folder = await temporaryFolder();
  const expired = await makeCertificates(join(folder, 'expired'));
  await expired.renew(-0.01);
  const config = await testConfig(folder, {
    beServerConfigs: { ...certificates.leaf('be'), tlsClientCa: expired.ca, auth: 'required' },
  });
  const be = await startBe(config, silentLog);
  const tls = { tlsCa: certificates.ca, ...expired.leaf('fe') };
  const client = new BeClient({ address: { host: 'localhost', port: be.port }, tls });
  try {
    const error = await rejectsWith(client.info(), 'UNAUTHENTICATED');
    assert.match(error.message, /CERT_HAS_EXPIRED/);
  } finally {
    client.close();
    await be.close();
  }
});

test('the client looks at the server: another authority, another name, no TLS at all', async () => {
  const unknown = await rejectsWith(feClient({ tlsCa: foreign.ca }).ping(), 'TLS_FAILED');
  assert.match(unknown.describe(), /unknown authority.*--tls-ca/);
  const tls = { tlsCa: certificates.ca, tlsServerName: 'elsewhere.example' };
  const misnamed = await rejectsWith(feClient(tls).ping(), 'TLS_FAILED');
  assert.match(misnamed.describe(), /another name/);
  await feClient({ tlsCa: certificates.ca }, '127.0.0.1').ping();
  await feClient({ tlsCa: certificates.ca, tlsServerName: 'fe' }, '127.0.0.1').ping();
  const missing = feClient({ tlsCa: join(certificates.folder, 'none.pem') });
  await rejectsWith(missing.ping(), 'FILE_ERROR');
  const plain = await startServers();
  try {
    const address = { host: 'localhost', port: plain.fe.port };
    const client = new FeClient({ address, tls: { tlsCa: certificates.ca }, attemptsMax: 1 });
    const error = await rejectsWith(client.ping(), 'TLS_FAILED');
    assert.match(error.describe(), /speaks no TLS/);
    client.close();
  } finally {
    await plain.close();
  }
});

test('on loopback plain text is still taken; TLS within TLS is not', async () => {
  const socket = connect(servers.fe.port, '127.0.0.1');
  socket.end('PING\nQUIT\n');
  assert.equal(await allOf(socket), 'PONG\n');
  const outer = await openTls();
  const inner = connectTls({ socket: outer, rejectUnauthorized: false });
  await assert.rejects(
    new Promise((resolve, reject) => {
      inner.once('secureConnect', resolve);
      inner.once('error', reject);
      inner.once('close', () => reject(new Error('closed')));
    }),
  );
  outer.destroy();
});

test('renewed certificates are used without a restart, broken ones are not', async () => {
  const serial = async () => {
    const socket = await openTls();
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const first = await serial();
  const open = feClient({ tlsCa: certificates.ca });
  await open.ping();
  await certificates.renew();
  for (let tries = 0; (await serial()) === first; tries++) {
    assert.ok(tries < 200, 'the new certificate is not used');
    await sleep(50);
  }
  await open.ping();
  const second = await serial();
  await writeFile(certificates.leaf('fe').tlsCert, 'no certificate');
  await sleep(1_500);
  assert.equal(await serial(), second);
  await certificates.renew();
});

test('a flood of handshakes is bounded, and everyone else is served', async () => {
  const open = feClient({ tlsCa: certificates.ca });
  await open.ping();
  const hello = Buffer.from('16030100', 'hex');
  const flood = Array.from({ length: 60 }, () => {
    const socket = connect(servers.fe.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(hello);
    return socket;
  });
  const cut = flood.map((socket) => new Promise<void>((resolve) => socket.on('close', resolve)));
  // At once, although more are stuck than may be under way.
  await open.ping();
  await feClient({ tlsCa: certificates.ca }).ping();
  await Promise.all(cut);
});

test('beyond loopback: tokens need TLS, or that somebody says otherwise', async () => {
  const required = { host: '0.0.0.0', auth: 'required', allowOpen: false } as const;
  const bare = { ...required, allowPlaintext: false, tlsCert: '' };
  assert.throws(() => checkListening(bare), { code: 'NOT_ALLOWED', message: /in the clear/ });
  checkListening({ ...bare, allowPlaintext: true });
  checkListening({ ...bare, tlsCert: 'fe.pem' });
});

test('beyond loopback a client sends no token in the clear, unless somebody says otherwise', async () => {
  const inClear = { code: 'BAD_CONFIG', message: /in the clear/, hint: /--allow-plaintext/ };
  for (const Client of [FeClient, BeClient]) {
    const open = (host: string, more: object) =>
      new Client({ address: { host, port: 1 }, ...more }).close();
    for (const host of ['192.0.2.1', '2001:db8::1', 'be', '127.evil.example']) {
      assert.throws(() => open(host, { token }), inClear, host);
      open(host, {});
      open(host, { token, tls: {} });
      open(host, { token, allowPlaintext: true });
    }
    for (const host of ['localhost', 'LOCALHOST', '127.0.0.2', '::1']) open(host, { token });
  }
  const beClientConfigs = { serverAddr: '192.0.2.1:1', token };
  const config = await testConfig(await temporaryFolder(), { beClientConfigs });
  await rejectsWith(startFe(config, silentLog), 'BAD_CONFIG');
});

test('a server whose TLS files are wrong does not start', async () => {
  const { tlsCert, tlsKey } = certificates.leaf('be');
  const start = async (beServerConfigs: Record<string, string>) => {
    const config = await testConfig(await temporaryFolder(), { beServerConfigs });
    return await startBe(config, silentLog);
  };
  await rejectsWith(start({ tlsCert }), 'BAD_CONFIG');
  await rejectsWith(start({ tlsCert, tlsKey: certificates.leaf('fe').tlsKey }), 'BAD_CONFIG');
  await rejectsWith(start({ tlsCert: `${tlsCert}x`, tlsKey }), 'FILE_ERROR');
  await chmod(tlsKey, 0o644);
  await rejectsWith(start({ tlsCert, tlsKey }), 'FILE_ERROR');
  await chmod(tlsKey, 0o600);
});
