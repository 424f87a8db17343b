/**
 * `node bench.js [--smoke] [--out FOLDER]`: compares this program with its ceilings and with
 * others, everything in one run on one machine: rounds go through all rows in turn, and a figure is
 * the median of its rounds. Writes `latest.json` and plots.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cryptoCeilings, storeCeiling, writeCeiling } from './ceilings.ts';
import type { Operation, Plan } from './generator.ts';
import { measure, type Seen } from './measure.ts';
import type { Running } from './peers/processes.ts';
import { startEcho, startOurs, startPair, startPostgres, startRedis } from './peers/servers.ts';
import { type Line, svgOf } from './plot.ts';
import { measureResources } from './resources.ts';
import { FORMAT, median, type Results, type Row } from './results.ts';
import { checkSpace } from './space.ts';
import { linesOf } from './tables.ts';

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

/** One row of the table before it is measured. */
interface Load {
  readonly server: string;
  readonly plan: Omit<Plan, 'target' | 'seconds'>;
  readonly change?: Partial<Plan['target']>;
  /** What happens before a write is answered. */
  readonly durable: string;
}

const FSYNC = 'write-ahead log on disk (fdatasync)';
const REDIS = 'append-only file on disk (appendfsync always); encrypts nothing';
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
    shape('redis', KIB, 64, 1, REDIS),
    shape('postgres', KIB, 64, 1, `${FSYNC}; pgcrypto, authenticates nothing`),
  ];
  const pair = shape('bare pair', KIB, 64, 1, 'log of a group on disk (fdatasync)', READ_WRITE);
  const journal = 'w: majority, journal';
  const mongo: Load[] = [
    shape('ours on mongodb', KIB, 64, 1, journal, READ_WRITE),
    shape('mongodb driver', KIB, 1, 64, journal, READ_WRITE),
    {
      ...shape('mongodb driver, 64 a call', KIB, 1, 64, journal, READ_WRITE),
      change: { batch: 64 },
    },
  ];
  if (flags.smoke) return [...main, pair, ...mongo];
  const ours = [64, 16 * KIB].flatMap((bytes) => [
    shape('ours', bytes, 1, 1, OURS),
    shape('ours', bytes, 64, 1, OURS),
    shape('ours', bytes, 8, 32, OURS),
  ]);
  return [
    ...main,
    pair,
    shape('ours', KIB, 1, 1, OURS),
    shape('redis', KIB, 1, 1, REDIS),
    shape('ours', KIB, 8, 32, OURS),
    shape('redis', KIB, 8, 32, REDIS),
    ...ours,
    shape('ours', MIB, 1, 1, OURS, READ_WRITE),
    shape('ours', MIB, 8, 1, OURS, READ_WRITE),
    { ...shape('ours over HTTP', KIB, 64, 1, OURS), change: { protocol: 'http' } },
    shape('echo', KIB, 64, 1, 'nothing', ['store']),
    shape('echo', MIB, 1, 1, 'nothing', ['store']),
    ...mongo,
  ];
}

/** The caller stops what is in `running`, also if this rejects. */
async function startAll(folder: string, running: Map<string, Running>): Promise<void> {
  const start = async (name: string, starting: Promise<Running | undefined>) => {
    const server = await starting;
    if (server !== undefined) running.set(name, server);
    else process.stderr.write(`${name}: not installed; its rows are absent\n`);
  };
  await start('ours', startOurs(join(folder, 'ours')));
  await start('echo', startEcho());
  await start('bare pair', startPair(join(folder, 'pair')));
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
    p95: median(seen.map(({ latency }) => latency.p95)),
    p99: median(seen.map(({ latency }) => latency.p99)),
    cpu: Object.fromEntries(
      names.map((name) => [name, median(seen.map(({ cpu }) => cpu[name] ?? 0))]),
    ),
  };
}

/** The rows, and the microseconds of one synced write, which is also measured in each round. */
async function measureAll(
  running: ReadonlyMap<string, Running>,
  folder: string,
): Promise<{ readonly rows: Row[]; readonly writeMicros: number }> {
  const writes: number[] = [];
  const seen = new Map<string, { load: Load; operation: Operation; rounds: Seen[] }>();
  for (let round = 0; round < ROUNDS; round++) {
    writes.push(await writeCeiling(join(folder, `write-${round}`), 200));
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
  const rows = [...seen.values()].map(({ load, operation, rounds }) =>
    rowOf(load, operation, rounds),
  );
  return { rows, writeMicros: median(writes) };
}

/** Throughput and latency against callers, for the plots. */
async function sweep(running: ReadonlyMap<string, Running>) {
  const rates: Line[] = [];
  const latencies: Line[] = [];
  for (const name of ['ours', 'redis', 'postgres']) {
    const server = running.get(name);
    if (server === undefined) continue;
    const seen = new Map<Operation, { connections: number; phase: Seen }[]>();
    for (const connections of [1, 4, 16, 64, 256]) {
      const plan = { bytes: KIB, connections, depth: 1, operations: READ_WRITE, seconds: 1 };
      for (const [operation, phase] of await measure(server, plan)) {
        seen.set(operation, [...(seen.get(operation) ?? []), { connections, phase }]);
      }
    }
    for (const [operation, points] of seen) {
      const lineOf = (words: string, of: (phase: Seen) => number): Line => ({
        name: `${name}: ${operation === 'store' ? 'write' : 'read'}${words}`,
        points: points.map(({ connections, phase }) => [connections, of(phase)] as const),
      });
      rates.push(lineOf('', ({ perSecond }) => perSecond));
      if (name !== 'ours') continue;
      for (const share of ['p50', 'p95', 'p99'] as const) {
        latencies.push(lineOf(`, ${share}`, ({ latency }) => latency[share] / 1_000));
      }
    }
  }
  return { rates, latencies };
}

async function plotSweep(running: ReadonlyMap<string, Running>, words: string): Promise<void> {
  const { rates, latencies } = await sweep(running);
  const x = 'callers, a connection each';
  const save = (name: string, title: string, y: string, lines: readonly Line[]) =>
    writeFileSync(
      join(flags.out, name),
      svgOf({ title: `${title} (${words})`, x, y, lines, isLogX: true }),
    );
  save('callers.svg', 'Records of 1 KiB, every write on disk', 'a second', rates);
  save('latency.svg', 'Latency, 1 KiB, every write on disk', 'ms', latencies);
}

checkSpace(DISK_BYTES_MIN);
const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-bench-'));
// PostgreSQL runs as a user of its own, who must be able to enter the folder.
chmodSync(folder, 0o711);
const running = new Map<string, Running>();
try {
  await startAll(folder, running);
  const [kib, mib] = [cryptoCeilings(KIB, 20_000), cryptoCeilings(MIB, 200)];
  const storePerSecond = await storeCeiling(join(folder, 'level'), SECONDS);
  const { rows, writeMicros } = await measureAll(running, folder);
  const ceilings = { kib, mib, storePerSecond, writeMicros };
  const machine = {
    date: new Date().toISOString(),
    node: process.version,
    cpus: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    system: `${process.platform} ${release()}`,
  };
  const results: Results = {
    format: FORMAT,
    machine,
    ceilings,
    rows,
    absent: [...new Set(loads().map(({ server }) => server))].filter((name) => !running.has(name)),
    resources: await measureResources(folder, flags.smoke ? 200 : 10_000),
    rounds: ROUNDS,
    seconds: SECONDS,
  };
  for (const line of linesOf(results)) process.stdout.write(`${line}\n`);
  mkdirSync(flags.out, { recursive: true });
  const name = flags.smoke ? 'smoke' : 'latest';
  writeFileSync(join(flags.out, `${name}.json`), `${JSON.stringify(results, undefined, 2)}\n`);
  if (!flags.smoke) await plotSweep(running, `${machine.date.slice(0, 10)}, ${machine.cpus}`);
} finally {
  for (const server of new Set(running.values())) await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
