/** What arrives slowly, in pieces, or never, and what comes behind it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GrpcClient } from '../helpers/grpc.ts';
import { http, RawHttp } from '../helpers/http.ts';
import { startServers, temporaryFolder } from '../helpers/servers.ts';

const HOST = 'Host: localhost\r\n';

test('a body may take longer to arrive than its request may take then', async (t) => {
  const { fe, close } = await startServers({ feServerConfigs: { requestTimeoutMs: '1s' } });
  t.after(close);
  const raw = new RawHttp(fe.port);
  t.after(() => raw.destroy());
  raw.write(`PUT /v1/records/slow HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\na`);
  await sleep(1_200);
  raw.write('b');
  await raw.saw(/^HTTP\/1\.1 201 /);
});

test('a body in chunks of one byte arrives as it was', async (t) => {
  const { fe, close } = await startServers();
  t.after(close);
  const raw = new RawHttp(fe.port);
  t.after(() => raw.destroy());
  const key = randomBytes(32).toString('hex');
  raw.write(
    `PUT /v1/records/bits HTTP/1.1\r\n${HOST}Enc-Record-Key: ${key}\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const text = Array.from({ length: 100_000 }, (_, index) => index % 10).join('');
  raw.write([...text].map((digit) => `1\r\n${digit}\r\n`).join(''));
  raw.write('0\r\n\r\n');
  await raw.saw(/^HTTP\/1\.1 201 /);
  const headers = { 'Enc-Record-Key': key };
  assert.equal((await http(fe.port, 'GET', '/v1/records/bits', { headers })).body.toString(), text);
});

test('what comes behind an upgrade is no request, as some of it is lost', async (t) => {
  const { fe, close } = await startServers();
  t.after(close);
  const put = await http(fe.port, 'PUT', '/v1/records/victim', { body: 'x' });
  assert.equal(put.status, 201);
  const inner = `DELETE /v1/records/victim HTTP/1.1\r\n${HOST}\r\n`;
  const upgrade = `GET /healthz HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: x\r\n\r\n`;
  const raw = new RawHttp(fe.port);
  t.after(() => raw.destroy());
  raw.write(
    `${upgrade}PUT /v1/records/mine HTTP/1.1\r\n${HOST}Content-Length: ${inner.length}\r\n\r\n`,
  );
  raw.write(inner);
  await raw.closed;
  assert.match(raw.received, /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is);
  assert.equal(raw.received.match(/HTTP\/1\.1 /g)?.length, 1);
  assert.equal((await http(fe.port, 'HEAD', '/v1/records/victim')).status, 200);
});

test('gRPC messages of strangers that never arrive keep no probe waiting', async (t) => {
  const tokens = join(await temporaryFolder(), 'tokens.json');
  const { fe, close } = await startServers({ feServerConfigs: { auth: 'required', tokens } });
  t.after(close);
  const session = connect(`http://127.0.0.1:${fe.port}`).on('error', () => undefined);
  t.after(() => session.destroy());
  for (const path of ['/encserver.v1.FrontendService/Store', '/grpc.health.v1.Health/Check']) {
    for (let count = 0; count < 3; count++) {
      const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc' };
      const stream = session.request({ ...headers, te: 'trailers' }, { endStream: false });
      stream.on('error', () => undefined);
    }
  }
  // All of them have come: what is sent last is answered last.
  await new Promise((resolve) => session.ping(resolve));
  const client = new GrpcClient(fe.port, 'grpc.health.v1.Health');
  t.after(() => client.close());
  const { status } = await client.call('Check', {}, { deadline: Date.now() + 5_000 });
  assert.equal(status, 'SERVING');
});

test('a probe with a long message is reset, as no room is held for it', async (t) => {
  const { fe, close } = await startServers();
  t.after(close);
  const session = connect(`http://127.0.0.1:${fe.port}`).on('error', () => undefined);
  t.after(() => session.destroy());
  const path = '/grpc.health.v1.Health/Check';
  const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc' };
  const stream = session.request({ ...headers, te: 'trailers' }, { endStream: false });
  const failed = new Promise<Error>((resolve) => stream.on('error', resolve));
  stream.write(Buffer.from([0, 0, 0x10, 0, 0]));
  stream.write(Buffer.alloc(10_000));
  assert.match((await failed).message, /NGHTTP2_ENHANCE_YOUR_CALM/);
});
