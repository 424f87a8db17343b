/**
 * The figures of HTTP: `node http-figures.js [ROUNDS] [SECONDS]`. 16 keep-alive connections and 1
 * KiB, compared with a bare Fastify route and with the binary dialect in the same run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytesField } from '../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../lib/protocol/messages.ts';
import {
  frameReader,
  frameRequest,
  httpReader,
  httpRequest,
  measure,
  type Talk,
} from './http-load.ts';
import { startPair } from './peers/servers.ts';
import { median } from './results.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 3);
const CONNECTIONS = 16;
const WARM_UP_S = 2;
const record = randomBytes(1_024);
const text = randomBytes(768).toString('base64');
const JSON_TYPE = { 'Content-Type': 'application/json' };

interface Running {
  readonly process: ChildProcess;
  readonly port: number;
}

/** Starts a program and waits for the port that it prints. */
async function start(args: readonly string[], pattern: RegExp): Promise<Running> {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ENC_SERVER_TS_LOG_DIR: '' },
  });
  let said = '';
  const port = await new Promise<number>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      said += chunk;
      const found = pattern.exec(said);
      if (found) resolve(Number(found[1]));
    });
  });
  return { process: child, port };
}

async function stop(running: Running): Promise<void> {
  running.process.kill('SIGTERM');
  await new Promise((resolve) => running.process.once('exit', resolve));
}

let itemCount = 0;

function postItem(): Talk {
  return {
    next: () =>
      httpRequest(
        'POST',
        '/data',
        JSON_TYPE,
        Buffer.from(`{"id":${++itemCount},"data":"${text}"}`),
      ),
    answered: () => undefined,
  };
}

function getItem(): Talk {
  return {
    next: () => httpRequest('GET', `/data/${1 + Math.floor(Math.random() * itemCount)}`),
    answered: () => undefined,
  };
}

const stored: { id: string; key: string }[] = [];

function putRecord(): Talk {
  let id = '';
  return {
    next: () => {
      id = randomBytes(8).toString('hex');
      return httpRequest('PUT', `/v1/records/${id}`, {}, record);
    },
    answered: ({ body }) => stored.push({ id, key: JSON.parse(body.toString()).key }),
  };
}

function getRecord(): Talk {
  return {
    next: () => {
      const { id, key } = oneOf(stored);
      return httpRequest('GET', `/v1/records/${id}`, { 'Enc-Record-Key': key });
    },
    answered: () => undefined,
  };
}

const framed: { id: Buffer; key: Buffer }[] = [];

function storeFrame(): Talk {
  let id: Buffer = Buffer.alloc(0);
  return {
    next: () => {
      id = Buffer.from(randomBytes(8).toString('hex'));
      return frameRequest(OPCODE.STORE, [bytesField(FIELD.ID, id)], record);
    },
    answered: ({ fields }) => {
      if (fields) framed.push({ id, key: Buffer.from(fields.requireBytes(FIELD.KEY)) });
    },
  };
}

function retrieveFrame(): Talk {
  return {
    next: () => {
      const { id, key } = oneOf(framed);
      return frameRequest(OPCODE.RETRIEVE, [bytesField(FIELD.ID, id), bytesField(FIELD.KEY, key)]);
    },
    answered: () => undefined,
  };
}

function oneOf<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T;
}

const rows = new Map<string, number[]>();
const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-bench-'));

interface Phase {
  readonly name: string;
  readonly talk: () => Talk;
  readonly frames?: boolean;
}

const BARE: readonly Phase[] = [
  { name: 'bare POST /data', talk: postItem },
  { name: 'bare GET /data/{id}', talk: getItem },
];
const PAIR: readonly Phase[] = [
  { name: 'bare pair POST /data', talk: postItem },
  { name: 'bare pair GET /data/{id}', talk: getItem },
];
const OURS: readonly Phase[] = [
  { name: 'POST /data', talk: postItem },
  { name: 'GET /data/{id}', talk: getItem },
  { name: 'PUT /v1/records/{id}', talk: putRecord },
  { name: 'STORE, frames', talk: storeFrame, frames: true },
  { name: 'GET /v1/records/{id}', talk: getRecord },
  { name: 'RETRIEVE, frames', talk: retrieveFrame, frames: true },
];

async function measureAll(port: number, phases: readonly Phase[]): Promise<void> {
  // A server that has just started is still compiling its hot code, so that is not measured.
  for (const warmUp of [true, false]) {
    for (const { name, talk, frames } of phases) {
      const reader = frames ? frameReader : httpReader;
      const perSecond = await measure(
        port,
        CONNECTIONS,
        warmUp ? WARM_UP_S : seconds,
        reader,
        talk,
      );
      if (!warmUp) rows.set(name, [...(rows.get(name) ?? []), perSecond]);
    }
  }
}

try {
  for (let round = 0; round < rounds; round++) {
    const bare = await start([here('./http-bare.js')], /port (\d+)/);
    await measureAll(bare.port, BARE);
    await stop(bare);
    itemCount = 0;
    const pair = await startPair(join(folder, `pair-${round}`), 'http-front');
    await measureAll(pair.target.port, PAIR);
    await pair.stop();
    const flags = ['--fe-port', '0', '--be-port', '0', '--data-dir', join(folder, `${round}`)];
    const up = await start(
      [here('../bin/enc-server.js'), 'up', ...flags],
      /fe listening on \S+:(\d+)/,
    );
    // Items of the other server are not ours.
    itemCount = 0;
    stored.length = 0;
    framed.length = 0;
    await measureAll(up.port, OURS);
    await stop(up);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const medianOf = (name: string) => median(rows.get(name) ?? []);

const out = (line: string) => process.stdout.write(`${line}\n`);
for (const [name, values] of rows) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  out(
    `${name.padEnd(24)} ${medianOf(name).toFixed(0)}/s (${low.toFixed(0)} to ${high.toFixed(0)})`,
  );
}
const ratio = (a: string, b: string) =>
  out(`${a} : ${b} = ${(medianOf(a) / medianOf(b)).toFixed(2)}`);
ratio('POST /data', 'bare POST /data');
ratio('GET /data/{id}', 'bare GET /data/{id}');
ratio('bare pair POST /data', 'bare POST /data');
ratio('bare pair GET /data/{id}', 'bare GET /data/{id}');
ratio('PUT /v1/records/{id}', 'STORE, frames');
ratio('GET /v1/records/{id}', 'RETRIEVE, frames');
