/**
 * `node records.js [--smoke] [--out FOLDER]`: throughput against the number of stored records. The
 * store is filled between the measurements, while the servers are down ({@link fill}); reads then
 * go anywhere in it, to records that were not read before. Writes `records.json` and `records.svg`.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { fill } from './filled.ts';
import type { Operation } from './generator.ts';
import { measure } from './measure.ts';
import { cpuMicrosOf } from './peers/processes.ts';
import { startOurs } from './peers/servers.ts';
import { svgOf } from './plot.ts';
import { median } from './results.ts';
import { checkSpace } from './space.ts';

const { values: flags } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    out: { type: 'string', default: 'bench/results' },
  },
});
const SIZES = flags.smoke ? [1_000, 4_000] : [10_000, 100_000, 500_000, 2_000_000];
const ROUNDS = flags.smoke ? 1 : 5;
const SECONDS = flags.smoke ? 0.5 : 3;
const WARM_SECONDS = flags.smoke ? 0.5 : 10;
const BYTES = 1_024;
/** A process is at rest once it took less than this share of a processor in each of some looks. */
const QUIET_SHARE = 0.1;
const QUIET_LOOKS = 3;
const LOOKS_MAX = flags.smoke ? 4 : 120;
const LOOK_MS = 500;
/** Table files, and the room that LevelDB needs to rewrite them. */
const DISK_BYTES_MIN = 8 * 1024 ** 3;

interface Size {
  readonly records: number;
  readonly rates: ReadonlyMap<Operation, readonly number[]>;
}

/**
 * Reads first: tables rewritten by writes would have to be mapped into memory again. What the
 * measurement itself stores is deleted again.
 */
async function measureSize(folder: string, records: number): Promise<Size> {
  const rates = new Map<Operation, number[]>();
  const servers = await startOurs(folder);
  try {
    await restOf(servers.processes['be'] ?? 0);
    const load = { bytes: BYTES, connections: 64, depth: 1, filled: records };
    // The first operations are not measured: code is compiled, tables are opened.
    await measure(servers, { ...load, seconds: WARM_SECONDS, operations: ['retrieve'] });
    for (const operations of [['retrieve'], ['store', 'remove']] as const) {
      for (let round = 0; round < ROUNDS; round++) {
        const plan = { ...load, seconds: SECONDS, operations };
        for (const [operation, { perSecond }] of await measure(servers, plan)) {
          rates.set(operation, [...(rates.get(operation) ?? []), perSecond]);
        }
        await restOf(servers.processes['be'] ?? 0);
      }
    }
  } finally {
    await servers.stop();
  }
  return { records, rates };
}

/** Waits until LevelDB has finished the work that filling and writing have left. */
async function restOf(pid: number): Promise<void> {
  for (let looks = 0, quiet = 0; quiet < QUIET_LOOKS && looks < LOOKS_MAX; looks++) {
    const before = cpuMicrosOf(pid);
    await sleep(LOOK_MS);
    quiet = cpuMicrosOf(pid) - before < QUIET_SHARE * LOOK_MS * 1_000 ? quiet + 1 : 0;
  }
}

checkSpace(DISK_BYTES_MIN);
const folder = mkdtempSync(join(tmpdir(), 'enc-server-ts-bench-'));
const seen: Size[] = [];
try {
  // Makes the keyring.
  await (await startOurs(folder)).stop();
  const places = { store: join(folder, 'be'), keyring: join(folder, 'fe', 'keyring.json') };
  let there = 0;
  for (const records of SIZES) {
    const startedAt = performance.now();
    await fill(places, there, records, randomBytes(BYTES));
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
    process.stderr.write(`${records} records are there (${seconds} s)\n`);
    there = records;
    seen.push(await measureSize(folder, records));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const medianOf = ({ rates }: Size, operation: Operation) => median(rates.get(operation) ?? []);
const sizes = seen.map((size) => ({
  records: size.records,
  storePerSecond: medianOf(size, 'store'),
  retrievePerSecond: medianOf(size, 'retrieve'),
}));
const say = (line: string) => process.stdout.write(`${line}\n`);
for (const size of seen) {
  for (const [operation, rates] of size.rates) {
    const spread = `${Math.round(Math.min(...rates))} to ${Math.round(Math.max(...rates))}`;
    say(`${size.records} records, ${operation}: ${Math.round(median(rates))}/s (${spread})`);
  }
}
const [first, last] = [sizes[0], sizes.at(-1)];
if (first !== undefined && last !== undefined) {
  const ratio = (a: number, b: number) => (a / b).toFixed(2);
  say(
    `STORE, most records / fewest: ${ratio(last.storePerSecond, first.storePerSecond)} (mark: 0.85)`,
  );
  say(
    `RETRIEVE, most records / fewest: ${ratio(last.retrievePerSecond, first.retrievePerSecond)} (mark: 0.85)`,
  );
}
mkdirSync(flags.out, { recursive: true });
const name = flags.smoke ? 'records-smoke' : 'records';
const date = new Date().toISOString();
writeFileSync(
  join(flags.out, `${name}.json`),
  `${JSON.stringify({ date, sizes }, undefined, 2)}\n`,
);
if (!flags.smoke) {
  const lines = (['store', 'retrieve'] as const).map((operation) => ({
    name: operation === 'store' ? 'write' : 'read',
    points: seen.map((size) => [size.records, medianOf(size, operation)] as const),
  }));
  const title = `Records of 1 KiB, 64 callers, every write on disk (${date.slice(0, 10)})`;
  const plot = { title, x: 'records that are there', y: 'a second', lines, isLogX: true };
  writeFileSync(join(flags.out, 'records.svg'), svgOf(plot));
}
