/** Answers over HTTP that their receiver does not take. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { boundSending } from '../../lib/net/http-door.ts';
import { DEFAULT_LIMITS } from '../../lib/protocol/limits.ts';
import { http } from '../helpers/http.ts';
import { until } from '../helpers/programs.ts';
import { startServers } from '../helpers/servers.ts';

test('a receiver who reads nothing is cut, and what it held is given back', async () => {
  const servers = await startServers({ feServerConfigs: { sendTimeoutMs: 100 } });
  const { port } = servers.fe;
  /** Of the first line of the metrics that begins so. */
  const metric = async (name: string) => {
    const page = (await http(port, 'GET', '/metrics')).body.toString();
    return Number(new RegExp(`^enc_server_${name}\\S* (\\d+)$`, 'm').exec(page)?.[1]);
  };
  try {
    const body = randomBytes(8 * 1024 * 1024);
    const stored = await http(port, 'PUT', '/v1/records/large', { body });
    assert.equal(stored.status, 201);
    const { key } = stored.json<{ key: string }>();
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.pause();
    socket.write(
      `GET /v1/records/large HTTP/1.1\r\nHost: localhost\r\nEnc-Record-Key: ${key}\r\n\r\n`,
    );
    const over = 'requests_total{dialect="http",operation="retrieve"';
    await until('the end of the request', async () => (await metric(over)) === 1 || undefined);
    await until('its room', async () => (await metric('in_flight_bytes')) === 0 || undefined);
    socket.resume();
    await closed;
    assert.ok(socket.bytesRead < body.length, 'cut, while it was being sent');
  } finally {
    await servers.close();
  }
});

test('an answer is bounded once, however often that is asked for', async () => {
  const heard: number[] = [];
  const server = createServer((_, response) => {
    const before = response.listenerCount('finish');
    for (let times = 0; times < 2; times++) boundSending(response, DEFAULT_LIMITS);
    heard.push(response.listenerCount('finish') - before);
    response.end('x');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await http((server.address() as AddressInfo).port, 'GET', '/');
    assert.deepEqual(heard, [1]);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
