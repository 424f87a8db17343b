/**
 * An attack, in a process of its own: `node attack.js PORT SECONDS`. 1,000 connections that each
 * send one byte a second of a request that never ends, 40 that announce large requests which never
 * arrive, and 5 MB/s of garbage on fresh connections. Prints what it did and the processor time that it took as JSON.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

const [port = 7777, seconds = 5] = process.argv.slice(2).map(Number);
const SLOW_CONNECTIONS = 1_000;
const GARBAGE_BYTES_PER_S = 5_000_000;
const GARBAGE_TICK_MS = 20;
const SLOW_TICK_MS = 10;
const REQUEST = Buffer.from(
  `GET /data HTTP/1.1\r\nHost: localhost\r\nX-Slow: ${'a'.repeat(9_999)}`,
);

/** As often as a connection that announced one is closed, another does. */
const ANNOUNCED_TICK_MS = 100;
const ANNOUNCED_COUNT = 40;
const ANNOUNCED = [
  Buffer.from([0, 0x7f, 0, 0, 1, 2]),
  Buffer.from('POST /data HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n{'),
];

let opened = 0;
let refused = 0;
let garbageBytes = 0;

interface Slow {
  socket: Socket;
  at: number;
}

function open(): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  opened++;
  socket.on('error', () => {
    refused++;
  });
  socket.resume();
  return socket;
}

const slow: Slow[] = Array.from({ length: SLOW_CONNECTIONS }, () => ({ socket: open(), at: 0 }));
const cpu = process.cpuUsage();
const startedAt = performance.now();

/** Each tick serves some of them, so that each has its turn once a second. */
let turn = 0;
const drip = setInterval(() => {
  const count = (SLOW_CONNECTIONS * SLOW_TICK_MS) / 1_000;
  for (let index = 0; index < count; index++) {
    const one = slow[turn++ % SLOW_CONNECTIONS] as Slow;
    if (one.socket.destroyed) Object.assign(one, { socket: open(), at: 0 });
    // Four bytes at first: enough to tell HTTP from text.
    const end = one.at === 0 ? 4 : one.at + 1;
    one.socket.write(REQUEST.subarray(one.at, end));
    one.at = end;
  }
}, SLOW_TICK_MS);

const announced = Array.from({ length: ANNOUNCED_COUNT }, (_, index) => announce(index));
const announcing = setInterval(() => {
  for (const [index, one] of announced.entries()) {
    if (one.destroyed || one.writableEnded) announced[index] = announce(index);
  }
}, ANNOUNCED_TICK_MS);

function announce(index: number): Socket {
  const socket = open();
  socket.write(ANNOUNCED[index % ANNOUNCED.length] as Buffer);
  return socket;
}

let garbage = open();
const spray = setInterval(() => {
  const bytes = (GARBAGE_BYTES_PER_S * GARBAGE_TICK_MS) / 1_000;
  if (garbage.destroyed || garbage.writableEnded) garbage = open();
  const noise = randomBytes(bytes);
  // The first byte decides the dialect: a frame, a verb, unknown, or TLS.
  noise[0] = [0x00, 0x53, 0x80, 0x16][turn % 4] as number;
  garbage.write(noise);
  garbageBytes += bytes;
}, GARBAGE_TICK_MS);

setTimeout(() => {
  clearInterval(drip);
  clearInterval(spray);
  clearInterval(announcing);
  const used = process.cpuUsage(cpu);
  const took = (performance.now() - startedAt) / 1_000;
  const cpuShare = (used.user + used.system) / 1e6 / took;
  process.stdout.write(`${JSON.stringify({ opened, refused, garbageBytes, cpuShare })}\n`);
  process.exit();
}, seconds * 1_000);
