/** What TLS refuses, on either side, and in which words. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { copyFile, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { Peer } from '../../lib/access.ts';
import { FeClient } from '../../lib/fe/client.ts';
import { type Logger, silentLog } from '../../lib/log.ts';
import { callOf } from '../../lib/net/call-settings.ts';
import { peerOf } from '../../lib/net/peer.ts';
import { TlsDoor } from '../../lib/net/tls-door.ts';
import { type TlsClientFiles, tlsErrorOf } from '../../lib/net/tls-files.ts';
import { decodeError } from '../../lib/protocol/error-reply.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { issueOdd, makeCertificates, type TestCertificates } from '../helpers/certificates.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { startListening } from '../helpers/listening.ts';
import { temporaryFolder, testConfig } from '../helpers/servers.ts';
import { Wire } from '../helpers/wire.ts';

/** An address of this machine that is not loopback: whoever calls it comes from it, too. */
const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const noOutside = outside === undefined && 'this machine has no address beyond loopback';

let folder: string;
let certificates: TestCertificates;

before(async () => {
  folder = await temporaryFolder();
  certificates = await makeCertificates(join(folder, 'tls'), outside ? [outside] : []);
});
after(() => rm(folder, { recursive: true }));

function openDoor(
  files: { readonly tlsCert: string; readonly tlsKey: string },
  tlsClientCa = '',
  log: Logger = silentLog,
): Promise<TlsDoor> {
  const bounds = { handshakesMax: 10, handshakeTimeoutMs: 5_000 };
  return TlsDoor.open({ ...files, tlsClientCa, tlsMinVersion: '1.3', ...bounds }, log);
}

/** Calls a server that shows these files. */
async function pingOf(
  server: { readonly tlsCert: string; readonly tlsKey: string },
  tls: TlsClientFiles,
): Promise<void> {
  const listening = await startListening({ tls: await openDoor(server) });
  const address = { host: '127.0.0.1', port: listening.port };
  const client = new FeClient({ address, tls, attemptsMax: 1 });
  try {
    await client.ping();
  } finally {
    client.close();
    await listening.close();
  }
}

/** What a server sees of a client with these files. */
async function seenOf(
  client: { readonly tlsCert: string; readonly tlsKey: string } | undefined,
  look: (socket: TLSSocket) => Peer,
): Promise<Peer> {
  const { tlsCert, tlsKey } = certificates.leaf('fe');
  const ca = readFileSync(certificates.ca);
  const own = { cert: readFileSync(tlsCert), key: readFileSync(tlsKey), ca };
  const server = createServer({ ...own, requestCert: true, rejectUnauthorized: false });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const theirs = client && { cert: readFileSync(client.tlsCert), key: readFileSync(client.tlsKey) };
  const caller = connect({ port, host: '127.0.0.1', ca, ...theirs });
  caller.on('error', () => undefined);
  try {
    return await new Promise<Peer>((resolve, reject) => {
      server.once('secureConnection', (socket) => {
        socket.on('error', () => undefined);
        try {
          resolve(look(socket));
        } catch (thrown) {
          reject(thrown);
        }
        socket.destroy();
      });
      server.once('tlsClientError', reject);
    });
  } finally {
    caller.destroy();
    server.close();
  }
}

test('plaintext from beyond loopback is refused in the words of its dialect', {
  skip: noOutside,
}, async () => {
  const tls = await openDoor(certificates.leaf('fe'));
  const listening = await startListening({ host: '0.0.0.0', tls });
  const say = async (bytes: string) => {
    const wire = await Wire.open(listening.port, outside);
    wire.send(bytes);
    const answer = (await wire.rest()).toString('latin1');
    wire.close();
    return answer;
  };
  assert.match(await say('PING\n'), /^ERROR NOT_ALLOWED only TLS is spoken here; .*--tls-ca/);
  assert.match(await say('GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 403 .*"code":"NOT_ALLOWED"/s);
  assert.match(await say('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /only TLS is spoken here/);
  const frames = await Wire.open(listening.port, outside);
  frames.request(OPCODE.PING, 1);
  assert.equal(decodeError(await frames.frame()).code, 'NOT_ALLOWED');
  frames.close();
  const address = { host: outside ?? '', port: listening.port };
  const plain = new FeClient({ address, attemptsMax: 1 });
  await rejectsWith(plain.ping(), 'NOT_ALLOWED');
  const secure = new FeClient({ address, tls: { tlsCa: certificates.ca }, attemptsMax: 1 });
  await secure.ping();
  for (const client of [plain, secure]) client.close();
  await listening.close();
});

test('allowPlaintext lets it in', { skip: noOutside }, async () => {
  const tls = await openDoor(certificates.leaf('fe'));
  const listening = await startListening({ host: '0.0.0.0', tls, allowPlaintext: true });
  const wire = await Wire.open(listening.port, outside);
  wire.send('PING\n');
  assert.equal(await wire.line(), 'PING');
  wire.close();
  await listening.close();
});

test('a certificate has the DNS names that are entries of its own, and no others', async () => {
  const fe = await seenOf(certificates.leaf('fe'), peerOf);
  assert.deepEqual(fe.certificateNames.slice(0, 2), ['fe', 'localhost']);
  // The common name is fe, and both entries hold text that looks like one for fe.
  const odd = await issueOdd(
    certificates.folder,
    [
      { type: 'url', value: 'http://example.org/, DNS:fe, x' },
      { type: 'dns', value: 'x, DNS:fe, y' },
      { type: 'dns', value: 'real.example' },
    ],
    'clientAuth',
  );
  const { certificateNames, certificateError } = await seenOf(odd, peerOf);
  assert.equal(certificateError, undefined);
  assert.deepEqual(certificateNames, ['real.example']);
});

test('a certificate that was not issued for clients names nobody', async () => {
  const peer = await seenOf(certificates.leaf('be'), peerOf);
  assert.deepEqual([peer.certificateNames, peer.certificateError], [[], 'INVALID_PURPOSE']);
});

test('a connection that is gone already has no names, and is no defect', async () => {
  const peer = await seenOf(certificates.leaf('fe'), (socket) => {
    socket.destroy();
    return peerOf(socket);
  });
  assert.deepEqual([peer.secure, peer.certificateNames], [true, []]);
});

test('the client refuses a server whose certificate has expired, or is a client’s', async () => {
  const expired = await makeCertificates(join(folder, 'expired'));
  await expired.renew(-0.01);
  const late = await rejectsWith(pingOf(expired.leaf('fe'), { tlsCa: expired.ca }), 'TLS_FAILED');
  assert.match(late.describe(), /has expired.*--renew/);
  const admin = pingOf(certificates.leaf('admin'), { tlsCa: certificates.ca });
  const misused = await rejectsWith(admin, 'TLS_FAILED');
  assert.match(misused.describe(), /not issued for a server.*serverAuth/);
  const odd = await issueOdd(
    certificates.folder,
    [{ type: 'dns', value: '127.0.0.1' }],
    'serverAuth',
  );
  // An address in a name is none (RFC 6125 section 6.4).
  const misnamed = await rejectsWith(pingOf(odd, { tlsCa: certificates.ca }), 'TLS_FAILED');
  assert.match(misnamed.describe(), /another name/);
});

test('an alert is told alike, whichever OpenSSL names it', () => {
  for (const name of ['SSLV3', 'SSL/TLS']) {
    const failed = tlsErrorOf(codeError(`ERR_SSL_${name}_ALERT_HANDSHAKE_FAILURE`));
    assert.match(failed?.message ?? '', /speaks no TLS/);
    const expired = tlsErrorOf(codeError(`ERR_SSL_${name}_ALERT_CERTIFICATE_EXPIRED`));
    assert.match(expired?.message ?? '', /has expired/);
  }
  assert.equal(tlsErrorOf(codeError('ECONNREFUSED')), undefined);
});

function codeError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

test('a file of authorities that holds none is an error, and no authority', async () => {
  const fe = certificates.leaf('fe');
  const empty = join(folder, 'empty.pem');
  await writeFile(empty, '');
  for (const path of [empty, fe.tlsKey]) {
    await rejectsWith(openDoor(fe, path), 'FILE_ERROR');
    const error = await rejectsWith(pingOf(fe, { tlsCa: path }), 'FILE_ERROR');
    assert.match(error.message, /holds no certificate/);
  }
});

test('half of what a client needs for TLS is refused, and does not mean plaintext', async () => {
  const { tlsCert, tlsKey } = certificates.leaf('fe');
  const call = async (settings: Record<string, string>) => {
    const config = await testConfig(folder, { feClientConfigs: settings });
    return callOf(config.feClientConfigs);
  };
  await rejectsWith(call({ tlsCert }), 'BAD_CONFIG');
  await rejectsWith(call({ tlsKey, tlsCa: certificates.ca }), 'BAD_CONFIG');
  const named = await rejectsWith(call({ tlsServerName: 'fe' }), 'BAD_CONFIG');
  assert.match(named.describe(), /tlsServerName.*--tls-ca/);
  assert.equal((await call({ tlsServerName: 'fe', tlsCert, tlsKey })).tls?.tlsServerName, 'fe');
  assert.equal((await call({})).tls, undefined);
});

test('files that cannot be used are told once for each time that they break', async () => {
  const { tlsCert, tlsKey } = certificates.leaf('be');
  const copy = { tlsCert: join(folder, 'be.pem'), tlsKey: join(folder, 'be.key') };
  await copyFile(tlsCert, copy.tlsCert);
  await copyFile(tlsKey, copy.tlsKey);
  const told: string[] = [];
  const note = (_facts: unknown, words: string) => told.push(words);
  const info = (words: string) => told.push(words);
  const log = { ...silentLog, debug: () => undefined, info, warn: note } as unknown as Logger;
  const door = await openDoor(copy, '', log);
  const look = async (times: number) => {
    for (let time = 0; time < times; time++) await door.reload();
    return told.splice(0).map((words) => words.replace(/ be .*/, ''));
  };
  await writeFile(copy.tlsCert, 'no certificate');
  assert.deepEqual(await look(4), ['TLS certificates cannot']);
  await rm(copy.tlsCert);
  assert.deepEqual(await look(4), ['TLS certificates cannot']);
  await copyFile(tlsCert, copy.tlsCert);
  assert.deepEqual(await look(4), ['TLS certificates reloaded']);
  await rm(copy.tlsCert);
  assert.deepEqual(await look(4), ['TLS certificates cannot']);
  door.close();
});
