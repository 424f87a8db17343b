/**
 * A rotation of the keyring under load: `node rotation.js [RECORDS] [CALLERS]`. Starts a back end
 * and two front ends in a temporary folder, fills them, and runs `keys add`, `activate`, `rewrap`
 * and `retire` while callers store, retrieve and delete without retries. Exits with 1 if a caller
 * saw an error, or a record is not what was acknowledged. Prints what it cost as JSON.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FeClient } from '../lib/fe/client.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const [records = 100_000, callers = 32] = process.argv.slice(2).map(Number);
const BYTES = 256;
const CALM_MS = Math.min(5_000, records);
const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-rotation-'));
/** The settings of whoever runs this do not apply. */
const env: NodeJS.ProcessEnv = {
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('ENC_SERVER_TS_')),
  ),
  ENC_SERVER_TS_LOG_DIR: '',
};
const children: ChildProcess[] = [];

/** Resolves to the port that it listens on. */
function start(program: string): Promise<number> {
  const args = [here(`../bin/${program}.js`), '--port', '0', '--data-dir', folder];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  });
  children.push(child);
  return new Promise((resolve, reject) => {
    let said = '';
    child.once('exit', () => reject(new Error(`${program} ended: ${said}`)));
    child.stdout.on('data', (chunk) => {
      said += chunk;
      const found = /listening on \S+:(\d+)/.exec(said);
      if (found) resolve(Number(found[1]));
    });
  });
}

/** What one caller has stored, and expects to be there. */
class Caller {
  readonly #clients: readonly FeClient[];
  readonly #kept: { id: Buffer; key: Buffer; record: Buffer }[] = [];
  readonly #deleted: { id: Buffer; key: Buffer }[] = [];
  readonly tookMs: number[] = [];

  constructor(clients: readonly FeClient[]) {
    this.#clients = clients;
  }

  get count(): number {
    return this.#kept.length;
  }

  async store(): Promise<void> {
    const [id, record] = [randomBytes(16), randomBytes(BYTES)];
    const { key } = await this.#client.store(id, record);
    this.#kept.push({ id, key, record });
  }

  /** Sends one request after another, each of another kind, until told to stop. */
  async work(isOver: () => boolean): Promise<void> {
    for (let turn = 0; !isOver(); turn++) {
      const sinceMs = performance.now();
      const which = Math.floor(Math.random() * this.#kept.length);
      const entry = this.#kept[which];
      if (entry === undefined || turn % 4 === 0) await this.store();
      else if (turn % 4 === 1) await this.#overwrite(entry);
      else if (turn % 8 === 2) await this.#delete(which);
      else await this.#retrieve(entry);
      this.tookMs.push(performance.now() - sinceMs);
    }
  }

  /** Checks that every acknowledged record is there, and no deleted one. */
  async verify(): Promise<number> {
    for (const entry of this.#kept) await this.#retrieve(entry);
    for (const { id, key } of this.#deleted) {
      const code = await this.#client.retrieve(id, key).then(
        () => 'found',
        (error) => error.code,
      );
      if (code !== 'NOT_FOUND') throw new Error(`a deleted record: ${code}`);
    }
    return this.#kept.length + this.#deleted.length;
  }

  async #overwrite(entry: { id: Buffer; key: Buffer; record: Buffer }): Promise<void> {
    const record = randomBytes(BYTES);
    const { key, replaced } = await this.#client.store(entry.id, record, { oldKey: entry.key });
    if (!replaced) throw new Error('what was there was not replaced');
    Object.assign(entry, { key, record });
  }

  async #delete(which: number): Promise<void> {
    const [entry] = this.#kept.splice(which, 1);
    if (entry === undefined) return;
    if (!(await this.#client.delete(entry.id))) throw new Error('what was there was not deleted');
    this.#deleted.push(entry);
  }

  async #retrieve(entry: { id: Buffer; key: Buffer; record: Buffer }): Promise<void> {
    const { record } = await this.#client.retrieve(entry.id, entry.key);
    if (!Buffer.from(record).equals(entry.record)) throw new Error('another record came back');
  }

  get #client(): FeClient {
    return this.#clients[Math.floor(Math.random() * this.#clients.length)] as FeClient;
  }
}

/** Latencies of a phase, in milliseconds, and the requests per second. */
function summarize(all: readonly Caller[], sinceMs: number): Record<string, number> {
  const took = all.flatMap(({ tookMs }) => tookMs.splice(0)).sort((a, b) => a - b);
  const at = (share: number) => Number((took[Math.floor(took.length * share)] ?? 0).toFixed(2));
  const perSecond = Math.round((took.length * 1_000) / (performance.now() - sinceMs));
  return { p50: at(0.5), p99: at(0.99), max: at(1 - 1 / took.length), perSecond };
}

async function keys(...args: string[]): Promise<Record<string, unknown>> {
  const run = promisify(execFile);
  const all = [here('../bin/enc-server.js'), 'keys', ...args, '--data-dir', folder, '--json'];
  const { stdout } = await run(process.execPath, all, { env });
  return JSON.parse(stdout);
}

async function fill(all: readonly Caller[]): Promise<void> {
  const each = Math.ceil(records / all.length);
  await Promise.all(
    all.map(async (caller) => {
      while (caller.count < each) await caller.store();
    }),
  );
}

async function main(): Promise<void> {
  const bePort = await start('be-server');
  env['ENC_SERVER_TS_BECLIENTCONFIGS_SERVERADDR'] = `127.0.0.1:${bePort}`;
  const ports = [await start('fe-server'), await start('fe-server')];
  const clients = ports.map(
    (port) => new FeClient({ address: { host: '127.0.0.1', port }, attemptsMax: 1 }),
  );
  const all = Array.from({ length: callers }, () => new Caller(clients));
  await fill(all);
  const state = { isOver: false };
  let sinceMs = performance.now();
  const working = Promise.all(all.map((caller) => caller.work(() => state.isOver)));
  // An error ends the run where this is awaited.
  working.catch(() => undefined);
  await sleep(CALM_MS);
  const calm = summarize(all, sinceMs);
  sinceMs = performance.now();
  await keys('add');
  await keys('activate');
  const rewrapSinceMs = performance.now();
  const { moved } = await keys('rewrap');
  const rewrapSeconds = (performance.now() - rewrapSinceMs) / 1_000;
  const { entries } = await keys('retire');
  const rotating = summarize(all, sinceMs);
  await sleep(CALM_MS / 5);
  state.isOver = true;
  await working;
  const verified = (await Promise.all(all.map((caller) => caller.verify()))).reduce(
    (sum, count) => sum + count,
    0,
  );
  for (const client of clients) client.close();
  const perSecond = Math.round(Number(moved) / rewrapSeconds);
  const result = { records, callers, moved, perSecond, verified, entries, calm, rotating };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

try {
  await main();
} finally {
  for (const child of children) child.removeAllListeners('exit').kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
