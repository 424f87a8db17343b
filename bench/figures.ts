/**
 * The figures of the first chapter: `node figures.js [ROUNDS] [SECONDS]`. Starts its own servers in
 * a temporary folder, and compares them with bare loops in the same run.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClassicLevel } from 'classic-level';
import { keyInput } from '../lib/key-input.ts';
import { median } from './results.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 3);
const BYTES = 1024;
const CALLERS = 64;

/** Synced batches of 64 random keys with 1,100 bytes: what the disk and LevelDB allow. */
async function bareStore(folder: string): Promise<number> {
  const db = new ClassicLevel<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
  });
  await db.open();
  const value = randomBytes(1_100);
  const startedAt = performance.now();
  let done = 0;
  while (performance.now() - startedAt < seconds * 1000) {
    const batch = db.batch();
    for (let i = 0; i < 64; i++) batch.put(randomBytes(27), value);
    await batch.write({ sync: true });
    done += 64;
  }
  const perSecond = (done * 1000) / (performance.now() - startedAt);
  await db.close();
  return perSecond;
}

/** Microseconds for a bare AES-256-GCM seal of 1 KiB. */
function bareSeal(): number {
  const record = randomBytes(BYTES);
  const startedAt = performance.now();
  const count = 50_000;
  for (let i = 0; i < count; i++) {
    const cipher = createCipheriv('aes-256-gcm', keyInput(randomBytes(32)), randomBytes(12));
    cipher.update(record);
    cipher.final();
    cipher.getAuthTag();
  }
  return ((performance.now() - startedAt) * 1000) / count;
}

interface Up {
  readonly process: ChildProcess;
  readonly port: number;
  readonly startMs: number;
}

async function up(folder: string): Promise<Up> {
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    [here('../bin/enc-server.js'), 'up', '--fe-port', '0', '--be-port', '0', '--data-dir', folder],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ENC_SERVER_TS_LOG_DIR: '' } },
  );
  let said = '';
  const port = await new Promise<number>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      said += chunk;
      const found = /fe listening on \S+:(\d+)/.exec(said);
      if (found) resolve(Number(found[1]));
    });
  });
  return { process: child, port, startMs: performance.now() - startedAt };
}

async function down(running: Up): Promise<void> {
  running.process.kill('SIGTERM');
  await new Promise((resolve) => running.process.once('exit', resolve));
}

/** Resident memory of a process and its children, in MiB (Linux). */
function residentMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  const own = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  return children
    .split(' ')
    .filter(Boolean)
    .reduce((sum, child) => sum + residentMib(Number(child)), own);
}

function load(port: number): { store: { perSecond: number }; retrieve: { perSecond: number } } {
  const args = [here('./load.js'), port, CALLERS, seconds, BYTES].map(String);
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

function bareNodeMs(): number {
  const startedAt = performance.now();
  execFileSync(process.execPath, ['-e', '0']);
  return performance.now() - startedAt;
}

const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-bench-'));
const rows: Record<string, number[]> = {};
const add = (name: string, value: number) => {
  rows[name] ??= [];
  rows[name].push(value);
};
try {
  for (let round = 0; round < rounds; round++) {
    add('bare node, ms', bareNodeMs());
    const running = await up(join(folder, `data-${round}`));
    add('up, both listening, ms', running.startMs);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    add('up, idle resident, MiB', residentMib(running.process.pid ?? 0));
    add('bare seal of 1 KiB, µs', bareSeal());
    add('bare synced batches of 64, puts/s', await bareStore(join(folder, `bare-${round}`)));
    const { store, retrieve } = load(running.port);
    add('STORE 1 KiB, 64 callers, /s', store.perSecond);
    add('RETRIEVE 1 KiB, 64 callers, /s', retrieve.perSecond);
    await down(running);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const out = (line: string) => process.stdout.write(`${line}\n`);
for (const [name, values] of Object.entries(rows)) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  out(
    `${name.padEnd(36)} median ${median(values).toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)})`,
  );
}
const ratio = (a: string, b: string) => (median(rows[a] ?? []) / median(rows[b] ?? [])).toFixed(2);
out(`start ratio: ${ratio('up, both listening, ms', 'bare node, ms')}`);
out(`STORE ratio: ${ratio('STORE 1 KiB, 64 callers, /s', 'bare synced batches of 64, puts/s')}`);
