/**
 * `node bench.js [--smoke] [--out FOLDER]`: what this program does beside its ceilings and beside
 * others, everything in one run on one machine: rounds go through all rows in turn, and a figure is
 * the median of its rounds. Writes `latest.json` and plots.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cryptoCeilings, storeCeiling, writeCeiling } from './ceilings.ts';
import type { Operation, Plan } from './generator.ts';
import { measure, type Seen } from './measure.ts';
import type { Running } from './peers/processes.ts';
import { startEcho, startOurs, startPostgres, startRedis } from './peers/servers.ts';
import { svgOf } from './plot.ts';
import { printTables, type Row } from './tables.ts';

const { values: flags } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    out: { type: 'string', default: 'bench/results' },
  },
});
const ROUNDS = flags.smoke ? 1 : 3;
const SECONDS = flags.smoke ? 0.5 : 1.5;
const DISK_BYTES_MIN = 4 * 1024 ** 3;
const [KIB, MIB] = [1024, 1024 * 1024];
const ALL: readonly Operation[] = ['store', 'retrieve', 'remove'];
const READ_WRITE: readonly Operation[] = ['store', 'retrieve'];

/** One line of the table before it was measured. */
interface Load {
  readonly server: string;
  readonly plan: Omit<Plan, 'target' | 'seconds'>;
  readonly change?: Partial<Plan['target']>;
  /** What it does before a write is answered. */
  readonly durable: string;
}

const FSYNC = 'write-ahead log on disk (fdatasync)';
const OURS = 'both logs of a group on disk (fdatasync), answered after';

function loads(): Load[] {
  const shape = (
    server: string,
    bytes: number,
    connections: number,
    depth: number,
    durable: string,
    operations = ALL,
  ): Load => ({
    server,
    plan: { bytes, connections, depth, operations },
    durable,
  });
  const main = [
    shape('ours', KIB, 64, 1, OURS),
    shape('redis', KIB, 64, 1, 'append-only file on disk (appendfsync always); encrypts nothing'),
    shape('postgres', KIB, 64, 1, `${FSYNC}; pgcrypto, authenticates nothing`),
  ];
  const mongo: Load[] =
    process.env['MONGODB_URI'] === undefined
      ? []
      : [
          shape('ours on mongodb', KIB, 64, 1, 'w: majority, journal', READ_WRITE),
          shape('mongodb driver', KIB, 1, 64, 'w: majority, journal', READ_WRITE),
          {
            ...shape('mongodb driver, 64 a call', KIB, 1, 64, 'w: majority, journal', READ_WRITE),
            change: { batch: 64 },
          },
        ];
  if (flags.smoke) return [...main, ...mongo];
  const ours = [64, 16 * KIB].flatMap((bytes) => [
    shape('ours', bytes, 1, 1, OURS),
    shape('ours', bytes, 64, 1, OURS),
    shape('ours', bytes, 8, 32, OURS),
  ]);
  return [
    ...main,
    shape('ours', KIB, 1, 1, OURS),
    shape('redis', KIB, 1, 1, ''),
    shape('ours', KIB, 8, 32, OURS),
    shape('redis', KIB, 8, 32, ''),
    ...ours,
    shape('ours', MIB, 1, 1, OURS, READ_WRITE),
    shape('ours', MIB, 8, 1, OURS, READ_WRITE),
    { ...shape('ours over HTTP', KIB, 64, 1, OURS), change: { protocol: 'http' } },
    shape('echo', KIB, 64, 1, 'nothing', ['store']),
    shape('echo', MIB, 1, 1, 'nothing', ['store']),
    ...mongo,
  ];
}

/** Whoever calls it stops what is in `running`, also when this rejects. */
async function startAll(folder: string, running: Map<string, Running>): Promise<void> {
  const start = async (name: string, starting: Promise<Running | undefined>) => {
    const server = await starting;
    if (server !== undefined) running.set(name, server);
    else process.stderr.write(`${name}: not installed; its rows are absent\n`);
  };
  await start('ours', startOurs(join(folder, 'ours')));
  await start('echo', startEcho());
  await start('redis', startRedis(join(folder, 'redis')));
  await start('postgres', startPostgres(join(folder, 'postgres')));
  const ours = running.get('ours');
  if (ours !== undefined) running.set('ours over HTTP', ours);
  const uri = process.env['MONGODB_URI'];
  if (uri === undefined) return;
  await start('ours on mongodb', startOurs(join(folder, 'ours-mongo'), uri));
  const driver: Running = {
    target: { protocol: 'mongo', host: '', port: 0, uri, database: `bench-driver-${process.pid}` },
    processes: {},
    stop: async () => undefined,
  };
  running.set('mongodb driver', driver);
  running.set('mongodb driver, 64 a call', driver);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function rowOf(load: Load, operation: Operation, seen: readonly Seen[]): Row {
  const rates = seen.map(({ perSecond }) => perSecond);
  const names = Object.keys(seen[0]?.cpu ?? {});
  return {
    server: load.server,
    operation,
    bytes: load.plan.bytes,
    connections: load.plan.connections,
    depth: load.plan.depth,
    durable: load.durable,
    perSecond: median(rates),
    least: Math.min(...rates),
    most: Math.max(...rates),
    p50: median(seen.map(({ latency }) => latency.p50)),
    p99: median(seen.map(({ latency }) => latency.p99)),
    cpu: Object.fromEntries(
      names.map((name) => [name, median(seen.map(({ cpu }) => cpu[name] ?? 0))]),
    ),
  };
}

async function measureAll(running: ReadonlyMap<string, Running>): Promise<Row[]> {
  const seen = new Map<string, { load: Load; operation: Operation; rounds: Seen[] }>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, load] of loads().entries()) {
      const server = running.get(load.server);
      if (server === undefined) continue;
      const plan = { ...load.plan, seconds: SECONDS };
      for (const [operation, phase] of await measure(server, plan, load.change)) {
        const label = `${index} ${operation}`;
        const known = seen.get(label) ?? { load, operation, rounds: [] };
        known.rounds.push(phase);
        seen.set(label, known);
      }
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  return [...seen.values()].map(({ load, operation, rounds }) => rowOf(load, operation, rounds));
}

/** Throughput against callers, for the plot. */
async function sweep(running: ReadonlyMap<string, Running>) {
  const lines = [];
  for (const name of ['ours', 'redis', 'postgres']) {
    const server = running.get(name);
    if (server === undefined) continue;
    const points: Record<'store' | 'retrieve', [number, number][]> = { store: [], retrieve: [] };
    for (const connections of [1, 4, 16, 64, 256]) {
      const plan = { bytes: KIB, connections, depth: 1, operations: READ_WRITE, seconds: 1 };
      for (const [operation, { perSecond }] of await measure(server, plan)) {
        if (operation !== 'remove') points[operation].push([connections, perSecond]);
      }
    }
    lines.push({ name: `${name}: write`, points: points.store });
    lines.push({ name: `${name}: read`, points: points.retrieve });
  }
  return lines;
}

const free = statfsSync(tmpdir());
if (free.bavail * free.bsize < DISK_BYTES_MIN) throw new Error('it takes 4 GB of free space');
const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-bench-'));
// PostgreSQL runs as a user of its own, who has to get through.
chmodSync(folder, 0o711);
const running = new Map<string, Running>();
try {
  await startAll(folder, running);
  const ceilings = {
    kib: cryptoCeilings(KIB, 20_000),
    mib: cryptoCeilings(MIB, 200),
    storePerSecond: await storeCeiling(join(folder, 'level'), SECONDS),
    writeMicros: await writeCeiling(join(folder, 'level'), 200),
  };
  const rows = await measureAll(running);
  const machine = {
    date: new Date().toISOString(),
    node: process.version,
    cpus: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    system: `${process.platform} ${release()}`,
  };
  printTables({ machine, ceilings, rows, rounds: ROUNDS, seconds: SECONDS });
  mkdirSync(flags.out, { recursive: true });
  const name = flags.smoke ? 'smoke' : 'latest';
  writeFileSync(
    join(flags.out, `${name}.json`),
    `${JSON.stringify({ machine, ceilings, rows }, undefined, 1)}\n`,
  );
  if (!flags.smoke) {
    const lines = await sweep(running);
    const title = `Records of 1 KiB, every write on disk (${machine.date.slice(0, 10)}, ${machine.cpus})`;
    const plot = { title, x: 'callers, a connection each', y: 'a second', lines, isLogX: true };
    writeFileSync(join(flags.out, 'callers.svg'), svgOf(plot));
  }
} finally {
  for (const server of new Set(running.values())) await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
