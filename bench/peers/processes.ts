/** The servers that the benchmark starts, all on loopback, and the processor time they take. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from '../drivers/driver.ts';

/** A running server, and the processes that do its work, by name. */
export interface Running {
  readonly target: Target;
  readonly processes: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

/** Clock ticks are hundredths of a second on Linux. */
const TICK_MICROS = 10_000;
const READY_MS_MAX = 20_000;

export interface SpawnOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
}

/** A child whose output is kept in case it does not come up. */
export class Child {
  readonly process: ChildProcess;
  said = '';

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.process = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const listen = (chunk: Buffer) => {
      this.said = `${this.said}${chunk}`.slice(-20_000);
    };
    this.process.stdout?.on('data', listen);
    this.process.stderr?.on('data', listen);
    this.process.on('error', (error) => {
      this.said += error.message;
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** Resolves to the result of `look`, once it returns one. */
  async until<T>(look: (said: string) => T | undefined | Promise<T | undefined>): Promise<T> {
    const deadlineMs = Date.now() + READY_MS_MAX;
    for (;;) {
      const found = await look(this.said);
      if (found !== undefined) return found;
      if (this.process.exitCode !== null || Date.now() > deadlineMs) {
        throw new Error(`${this.process.spawnfile} did not come up: ${this.said}`);
      }
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    await ended;
  }
}

/** A port that nobody uses. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Processor time of a process and all its descendants so far, in microseconds (Linux). */
export function cpuMicrosOf(pid: number): number {
  return treeOf(pid).reduce((sum, one) => sum + TICK_MICROS * ticksOf(one), 0);
}

function treeOf(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name)) parents.set(Number(name), Number(statOf(Number(name))[1] ?? 0));
  }
  const isBelow = (pid: number): boolean =>
    pid === root || (parents.has(pid) && pid > 1 && isBelow(parents.get(pid) ?? 0));
  return [...parents.keys()].filter(isBelow);
}

function ticksOf(pid: number): number {
  const [, , , , , , , , , , , user, system] = statOf(pid);
  return Number(user ?? 0) + Number(system ?? 0);
}

/** The fields after the name; the first one is the state. */
function statOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}
