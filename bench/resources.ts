/**
 * What the servers take besides processor time: memory for idle connections and for large records,
 * and the time from their start to their first answer. Linux: it reads `/proc`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openDriver, type Target } from './drivers/driver.ts';
import { measure } from './measure.ts';
import { startOurs } from './peers/servers.ts';
import { median } from './results.ts';

export interface Resources {
  /** From the start of the program to its answer to PING, in milliseconds; medians. */
  readonly start: { readonly nodeMs: number; readonly feMs: number; readonly beMs: number };
  /** Resident memory of the front end, in MiB. */
  readonly idle: {
    readonly connections: number;
    readonly beforeMib: number;
    readonly afterMib: number;
  };
  /**
   * Peak memory of each while the records are under way, in MiB: its own, without the table files
   * that LevelDB has mapped, which are the system's cache.
   */
  readonly large: { readonly feMib: number; readonly beMib: number };
}

const IDLE = fileURLToPath(new URL('./idle.js', import.meta.url));
const MIB = 1024 * 1024;
const STARTS = 5;
const SETTLE_MS = 1_000;
const LOOK_MS = 20;

/** @param connections idle ones; fewer where a process may open fewer files */
export async function measureResources(folder: string, connections: number): Promise<Resources> {
  return {
    start: await measureStart(folder),
    idle: await measureIdle(join(folder, 'idle'), connections),
    large: await measureLarge(join(folder, 'large')),
  };
}

async function measureStart(folder: string): Promise<Resources['start']> {
  const times: Record<'nodeMs' | 'feMs' | 'beMs', number[]> = { nodeMs: [], feMs: [], beMs: [] };
  for (let count = 0; count < STARTS; count++) {
    const startedAt = performance.now();
    execFileSync(process.execPath, ['-e', '0']);
    times.nodeMs.push(performance.now() - startedAt);
    const servers = await startOurs(join(folder, `start-${count}`));
    try {
      times.beMs.push(servers.startMs.be);
      times.feMs.push(servers.startMs.fe);
    } finally {
      await servers.stop();
    }
  }
  return {
    nodeMs: median(times.nodeMs),
    feMs: median(times.feMs),
    beMs: median(times.beMs),
  };
}

/** Each connection asked once, and has been silent since. */
async function measureIdle(folder: string, connections: number): Promise<Resources['idle']> {
  const servers = await startOurs(folder);
  try {
    const pid = servers.processes['fe'] ?? 0;
    // What the first request loads must not count towards the connections.
    await ping(servers.target);
    await sleep(SETTLE_MS);
    const beforeMib = residentMib(pid, 'VmRSS');
    const client = spawn(process.execPath, [IDLE, `${servers.target.port}`, `${connections}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [said] = (await once(client.stdout, 'data')) as [Buffer];
    await sleep(SETTLE_MS);
    const afterMib = residentMib(pid, 'VmRSS');
    client.stdin.end();
    await once(client, 'exit');
    return { connections: Number(said.toString()), beforeMib, afterMib };
  } finally {
    await servers.stop();
  }
}

async function measureLarge(folder: string): Promise<Resources['large']> {
  const servers = await startOurs(folder);
  try {
    const plan = { bytes: 8 * MIB, connections: 64, depth: 1, seconds: 3 } as const;
    const { fe = 0, be = 0 } = servers.processes;
    const most = { feMib: 0, beMib: 0 };
    const look = setInterval(() => {
      most.feMib = Math.max(most.feMib, residentMib(fe, 'RssAnon'));
      most.beMib = Math.max(most.beMib, residentMib(be, 'RssAnon'));
    }, LOOK_MS);
    try {
      await measure(servers, { ...plan, operations: ['store', 'retrieve'] });
    } finally {
      clearInterval(look);
    }
    return most;
  } finally {
    await servers.stop();
  }
}

async function ping(target: Target): Promise<void> {
  const connection = await (await openDriver(target)).connect();
  await connection.store({ id: Buffer.from('first') }, Buffer.alloc(1));
  await connection.close();
}

/** Resident memory, all of it (`VmRSS`) or without files (`RssAnon`), in MiB. */
function residentMib(pid: number, what: 'VmRSS' | 'RssAnon'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${what}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
}
