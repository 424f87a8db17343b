/**
 * The load generator, in a process of its own: `node generator.js PLAN`, a JSON {@link Plan}. Its
 * callers each have one request under way; several may share a connection. It stores under fresh
 * IDs that are uniform over all possible ones, then retrieves and removes what it has stored, and
 * prints a {@link Phase} for each as JSON.
 */
import { randomBytes } from 'node:crypto';
import { type Connection, type Item, openDriver, type Target } from './drivers/driver.ts';
import { filledItem } from './filled.ts';
import { Items } from './items.ts';

export interface Plan {
  readonly target: Target;
  readonly connections: number;
  /** Callers on each connection. */
  readonly depth: number;
  readonly seconds: number;
  /** Size of a record. */
  readonly bytes: number;
  readonly operations: readonly Operation[];
  /** Reads go to records that {@link ./filled.ts} made; this is how many there are. */
  readonly filled?: number;
}

export type Operation = 'store' | 'retrieve' | 'remove';

export interface Phase {
  readonly operation: Operation;
  readonly perSecond: number;
  /** Microseconds. */
  readonly latency: { readonly p50: number; readonly p95: number; readonly p99: number };
  /** Processor time of this process for each operation, in microseconds. */
  readonly cpuMicros: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/**
 * How long each operation runs before it is measured, in milliseconds: until the generator and the
 * other side have compiled their code.
 */
const WARM_MS = 500;
/** Shorter for removals, which use up what was stored. */
const WARM_REMOVES_MS = 100;

const plan = JSON.parse(process.argv[2] ?? '') as Plan;
const record = randomBytes(plan.bytes);
const items = new Items();
let next = 0;

function itemFor(operation: Operation): Item | undefined {
  if (operation === 'store') return items.add();
  if (operation === 'remove') return items.pop();
  if (plan.filled !== undefined) return filledItem(Math.floor(Math.random() * plan.filled));
  if (items.count === 0) return undefined;
  // Each once, in an order that no cache has seen, before any is repeated.
  next = (next + 7_919) % items.count;
  return items.at(next);
}

async function once(connection: Connection, operation: Operation, item: Item): Promise<void> {
  if (operation === 'store') return await connection.store(item, record);
  if (operation === 'remove') return await connection.remove(item);
  const bytes = await connection.retrieve(item);
  if (bytes !== plan.bytes) throw new Error(`a record of ${bytes} bytes came back`);
}

/** Runs all callers until a time of `performance.now()`; returns how long each request took. */
async function load(
  connections: readonly Connection[],
  operation: Operation,
  endsAt: number,
): Promise<number[]> {
  const times: number[] = [];
  const caller = async (connection: Connection) => {
    for (let now = performance.now(); now < endsAt; ) {
      const item = itemFor(operation);
      if (item === undefined) return;
      await once(connection, operation, item);
      const ended = performance.now();
      times.push(ended - now);
      now = ended;
    }
  };
  await Promise.all(
    connections.flatMap((connection) =>
      Array.from({ length: plan.depth }, () => caller(connection)),
    ),
  );
  return times;
}

async function phase(connections: readonly Connection[], operation: Operation): Promise<Phase> {
  const warmMs = operation === 'remove' ? WARM_REMOVES_MS : WARM_MS;
  await load(connections, operation, performance.now() + warmMs);
  // Tells whoever measures processes that a phase begins.
  process.stdout.write(`${JSON.stringify({ begins: operation })}\n`);
  const cpu = process.cpuUsage();
  const [startedAt, startedAtMs] = [performance.now(), Date.now()];
  const times = await load(connections, operation, startedAt + plan.seconds * 1_000);
  const tookMs = performance.now() - startedAt;
  const used = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  const at = (share: number) => 1_000 * (times[Math.floor(share * (times.length - 1))] ?? 0);
  return {
    operation,
    perSecond: (times.length * 1_000) / tookMs,
    latency: { p50: at(0.5), p95: at(0.95), p99: at(0.99) },
    cpuMicros: (used.user + used.system) / times.length,
    startedAtMs,
    endedAtMs: Date.now(),
  };
}

const driver = await openDriver(plan.target);
const connections: Connection[] = [];
for (let index = 0; index < plan.connections; index++) connections.push(await driver.connect());
for (const operation of plan.operations) {
  process.stdout.write(`${JSON.stringify(await phase(connections, operation))}\n`);
}
for (const connection of connections) await connection.close();
