/** The real programs as child processes, driven as a person would. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export type ProgramName = 'enc-server' | 'fe-server' | 'be-server' | 'fe-client' | 'be-client';

export interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: Uint8Array | string;
  readonly cwd?: string;
  /** What starts the program instead of node and its file. */
  readonly command?: readonly [string, ...string[]];
}

/** What waiting for a process may take before the test is given up, in milliseconds. */
const PATIENCE_MS = 20_000;
const POLL_MS = 5;

export function pathOf(name: ProgramName): string {
  return fileURLToPath(new URL(`../../bin/${name}.js`, import.meta.url));
}

function commandOf(name: ProgramName, options: RunOptions): readonly [string, ...string[]] {
  return options.command ?? [process.execPath, pathOf(name)];
}

/** An environment in which nothing of the tester's own configuration is left. */
export function cleanEnv(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('ENC_SERVER_TS_'));
  const nowhere = { ENC_SERVER_TS_LOG_DIR: '', XDG_STATE_HOME: '/nonexistent' };
  return { ...Object.fromEntries(kept), ...nowhere, ...extra };
}

/** Runs a program to its end. */
export function run(
  name: ProgramName,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const [command, ...first] = commandOf(name, options);
  return runCommand(command, [...first, ...args], options);
}

/** Runs any command to its end. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = spawn(command, args, {
    env: cleanEnv(options.env),
    cwd: options.cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  return await finished(child);
}

/** Everything that a child writes, and how it ends. */
export function finished(child: ChildProcessWithoutNullStreams): Promise<Finished> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() });
    });
  });
}

/** Process groups that a test has not ended yet; nothing may outlive the tests. */
const groups = new Set<number>();
process.on('exit', () => {
  for (const group of groups) killGroup(group, 'SIGKILL');
});

/** A program that runs until it is stopped, in a process group of its own. */
export class Running {
  readonly process: ChildProcess;
  readonly pid: number;
  stdout = '';
  stderr = '';
  /** The exit code, or null where a signal ended it. */
  readonly exited: Promise<number | null>;

  constructor(name: ProgramName, args: readonly string[], options: RunOptions = {}) {
    const [command, ...first] = commandOf(name, options);
    this.process = spawn(command, [...first, ...args], {
      env: cleanEnv(options.env),
      cwd: options.cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.pid = this.process.pid as number;
    groups.add(this.pid);
    this.process.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.process.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.exited = new Promise((resolve) => this.process.on('exit', resolve));
  }

  /** Resolves to the match once standard output has it; rejects if the program ends before. */
  async saw(pattern: RegExp): Promise<RegExpExecArray> {
    let ended = false;
    this.process.on('close', () => {
      ended = true;
    });
    return await until(`${pattern}`, () => {
      const match = pattern.exec(this.stdout);
      if (match === null && ended) {
        throw new Error(`ended before ${pattern}: ${this.stdout}${this.stderr}`);
      }
      return match ?? undefined;
    });
  }

  /** Signals the program alone and waits for its end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.process.kill(signal);
    return await this.exited;
  }

  /** Signals all its processes at once, as Ctrl-C does. */
  signalAll(signal: NodeJS.Signals): void {
    killGroup(this.pid, signal);
  }

  /** `kill -9` of everything that is left; resolves when nothing is. */
  async killAll(): Promise<void> {
    this.signalAll('SIGKILL');
    await this.exited;
    await untilGone(...pidsOfGroup(this.pid));
    groups.delete(this.pid);
  }
}

export interface RunningUp extends Running {
  readonly fePort: number;
  readonly bePort: number;
  readonly fePid: number;
  readonly bePid: number;
  /** Arguments that lead a client to the front end. */
  readonly toFe: readonly string[];
  /** Arguments that lead a client to the back end. */
  readonly toBe: readonly string[];
}

/** `enc-server up` on free ports, once both servers listen. */
export async function startUp(
  dataDir: string,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<RunningUp> {
  const ports = ['--fe-port', '0', '--be-port', '0'];
  const running = new Running(
    'enc-server',
    ['up', '--data-dir', dataDir, ...ports, ...args],
    options,
  );
  const be = await running.saw(/be listening on \S+:(\d+)/);
  const fe = await running.saw(/fe listening on \S+:(\d+)/);
  await running.saw(/logs: .*\n/);
  const pidOf = (role: string) => {
    const found = pidsOfGroup(running.pid).find((pid) => argumentsOf(pid)[2] === role);
    if (found === undefined) throw new Error(`no process for ${role}`);
    return found;
  };
  return Object.assign(running, {
    bePort: Number(be[1]),
    fePort: Number(fe[1]),
    bePid: pidOf('be'),
    fePid: pidOf('fe'),
    toFe: ['--server', `127.0.0.1:${fe[1]}`],
    toBe: ['--server', `127.0.0.1:${be[1]}`],
  });
}

/** Resolves when none of the processes lives any more. */
export async function untilGone(...pids: readonly number[]): Promise<void> {
  await until(`the end of ${pids.join(', ')}`, () => (pids.some(isAlive) ? undefined : true));
}

/** Asks again and again; resolves to the first answer that is not undefined. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadlineMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadlineMs) throw new Error(`waited too long for ${what}`);
    await delay(POLL_MS);
  }
}

/** Whether somebody accepts connections on a port of this machine. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Sends bytes to a port of this machine, ends, and resolves to all that comes back. */
export function talk(port: number, bytes: string | Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
    socket.end(bytes);
  });
}

/** Where a command is; undefined if this machine does not have it. */
export async function findCommand(name: string): Promise<string | undefined> {
  const { code, stdout } = await runCommand('sh', ['-c', `command -v ${name}`]);
  return code === 0 ? stdout.toString().trim() : undefined;
}

function killGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // Nobody of it is left.
  }
}

/**
 * A zombie has ended and only waits for whoever takes note of that. While other threads of it
 * still end, its files are open.
 */
function isAlive(pid: number): boolean {
  const state = statOf(pid)?.[0];
  if (state !== 'Z') return state !== undefined && state !== 'X';
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1;
  } catch {
    return false;
  }
}

function pidsOfGroup(group: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => Number(statOf(pid)?.[2]) === group && isAlive(pid));
}

/** The processes that a process has started and that live. */
export function childrenOf(parent: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => Number(statOf(pid)?.[1]) === parent && isAlive(pid));
}

/** State, parent, group and more, behind the name in brackets (proc(5)). */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function argumentsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
}
