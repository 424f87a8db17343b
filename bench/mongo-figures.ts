/**
 * The figures on MongoDB, medians of rounds: `node mongo-figures.js URI [ROUNDS] [SECONDS]`. STORE
 * and RETRIEVE of 1 KiB by 64 callers through `enc-server up --store mongo`, once in one program
 * that shares a client, once with a connection each; compared with a hand-written client of the
 * driver with one encrypted operation per call, also in one program, and one that batches 64, on
 * the same server in the same run. What was stored is dropped after each round.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MongoClient } from 'mongodb';
import { median } from './results.ts';

interface Phase {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

interface Measured {
  readonly store: Phase;
  readonly retrieve: Phase;
}

const CALLERS = 64;
const BATCH = 64;
const BYTES = 1024;
const uri = process.argv[2] ?? process.env['MONGODB_URI'];
const rounds = Number(process.argv[3] ?? 5);
const seconds = Number(process.argv[4] ?? 3);
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const out = (line: string) => process.stdout.write(`${line}\n`);
const run = promisify(execFile);

async function measure(program: string, args: readonly (string | number)[]): Promise<Measured> {
  const { stdout } = await run(process.execPath, [here(program), ...args.map(String)]);
  return JSON.parse(stdout) as Measured;
}

function peer(database: string, batch: number): Promise<Measured> {
  const args = [uri ?? '', database, CALLERS, seconds, BYTES, batch];
  return measure('./mongo-peer.js', args);
}

async function ours(database: string, load: string): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-bench-'));
  const ports = ['--fe-port', '0', '--be-port', '0'];
  const args = [here('../bin/enc-server.js'), 'up', '--store', 'mongo', '--data-dir', folder];
  const up = spawn(process.execPath, [...args, ...ports], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ENC_SERVER_TS_LOG_DIR: '',
      ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI: uri,
      ENC_SERVER_TS_BESERVERCONFIGS_MONGODATABASE: database,
    },
  });
  try {
    return await measure(load, [await portOf(up), CALLERS, seconds, BYTES]);
  } finally {
    up.kill('SIGTERM');
    await new Promise((resolve) => up.once('exit', resolve));
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The port of the front end, once it listens. */
function portOf(up: ChildProcess): Promise<number> {
  let said = '';
  return new Promise((resolve, reject) => {
    up.once('exit', (code) => reject(new Error(`enc-server up ended with ${code}`)));
    up.stdout?.on('data', (chunk) => {
      said += chunk;
      const found = /fe listening on \S+:(\d+)/.exec(said);
      if (found) resolve(Number(found[1]));
    });
  });
}

const OURS = 'ours, one client';
const APART = 'ours, a connection each';
const ONE = 'driver, one per call';
const BATCHED = `driver, batches of ${BATCH}`;

if (uri === undefined) throw new Error('usage: mongo-figures.js URI [ROUNDS] [SECONDS]');
const client = new MongoClient(uri);
const measured = new Map<string, Measured[]>([OURS, APART, ONE, BATCHED].map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  const database = `enc-bench-${randomBytes(6).toString('hex')}`;
  measured.get(ONE)?.push(await peer(database, 1));
  measured.get(OURS)?.push(await ours(`${database}-1`, './client-load.js'));
  measured.get(APART)?.push(await ours(`${database}-2`, './load.js'));
  measured.get(BATCHED)?.push(await peer(database, BATCH));
  for (const suffix of ['', '-1', '-2']) {
    // This only makes room; the server for tests cannot always drop a database.
    await client
      .db(`${database}${suffix}`)
      .dropDatabase()
      .catch(() => undefined);
  }
}
await client.close();

for (const phase of ['store', 'retrieve'] as const) {
  const medians = new Map<string, number>();
  for (const [name, all] of measured) {
    const rates = all.map((one) => one[phase].perSecond);
    const range = `${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)}`;
    const middle = median(rates);
    medians.set(name, middle);
    const row = `${phase.toUpperCase()} 1 KiB, ${CALLERS} callers, ${name}`;
    out(`${row.padEnd(56)} median ${middle.toFixed(0)}/s (${range})`);
  }
  for (const mine of [OURS, APART]) {
    for (const name of [ONE, BATCHED]) {
      const ratio = (medians.get(mine) ?? Number.NaN) / (medians.get(name) ?? Number.NaN);
      out(`${phase.toUpperCase()} ${mine} / ${name}: ${ratio.toFixed(2)}`);
    }
  }
}
