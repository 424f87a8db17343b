/** A back end and a front end as processes of their own, which are killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cleanEnv } from '../helpers/programs.ts';

const START_MS_MAX = 20_000;

export class ServerProcess {
  /** The same at every start, once it is known. */
  port = 0;
  readonly #program: string;
  readonly #args: readonly string[];
  #env: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;

  /** @param dist the folder of the compiled program */
  constructor(dist: string, role: 'be' | 'fe', args: readonly string[], env: NodeJS.ProcessEnv) {
    this.#program = join(dist, 'bin', `${role}-server.js`);
    this.#args = args;
    this.#env = cleanEnv(env);
  }

  /** From the next start on. */
  setEnv(env: NodeJS.ProcessEnv): void {
    this.#env = cleanEnv(env);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const args = [this.#program, '--port', `${this.port}`, ...this.#args];
    const child = spawn(process.execPath, args, {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no start: ${said}`)), START_MS_MAX);
      child.once('exit', () => {
        clearTimeout(timer);
        reject(new Error(`it ended: ${said}`));
      });
      const listen = (chunk: Buffer) => {
        said = `${said}${chunk}`.slice(-4_000);
        const port = /listening on \S+:(\d+)/.exec(said)?.[1];
        if (port === undefined) return;
        this.port = Number(port);
        clearTimeout(timer);
        child.removeAllListeners('exit');
        child.stdout.off('data', listen).resume();
        child.stderr.off('data', listen).resume();
        resolve();
      };
      child.stdout.on('data', listen);
      child.stderr.on('data', listen);
    });
  }

  /** Resolves to the exit code; null after a kill. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null;
    const ended = once(child, 'exit');
    child.kill(signal);
    // A stopped process takes no signal but this one.
    child.kill('SIGCONT');
    const [code] = await ended;
    this.#child = undefined;
    return code;
  }

  /** Stops it as if the machine were busy elsewhere, for a while. */
  freeze(milliseconds: number): void {
    const child = this.#child;
    child?.kill('SIGSTOP');
    setTimeout(() => child?.kill('SIGCONT'), milliseconds);
  }

  /** Acts while no thread of it runs, or is within a system call. */
  async whileStopped(act: () => void): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) throw new Error('it does not run');
    child.kill('SIGSTOP');
    try {
      while (!isStopped(child.pid)) await sleep(1);
      act();
    } finally {
      child.kill('SIGCONT');
    }
  }
}

/** Whether each of its threads is (proc(5)): one that waits for a disk stops only after that. */
function isStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((task) => {
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
  });
}
