import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./store-child.js', import.meta.url));

/** A running `store-child`, and what it has said. */
export class StoreProcess {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #changed: () => void = () => {};
  #hasEnded = false;

  /** @param prefix - a program that starts the child, and its arguments */
  constructor(args: readonly string[], prefix: readonly string[] = []) {
    const [command = process.execPath, ...rest] = [...prefix, process.execPath, CHILD, ...args];
    this.#child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    this.#exited = once(this.#child, 'exit');
    if (this.#child.stdout === null) throw new Error('the child has no output');
    const reader = createInterface(this.#child.stdout);
    reader.on('line', (line) => {
      this.lines.push(line);
      this.#changed();
    });
    reader.on('close', () => {
      this.#hasEnded = true;
      this.#changed();
    });
  }

  /** Resolves when the lines are as asked; rejects when the child ends before. */
  async until(isTrue: (lines: readonly string[]) => boolean): Promise<void> {
    while (!isTrue(this.lines)) {
      if (this.#hasEnded) throw new Error(`the child ended: ${this.lines.slice(-3).join(', ')}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** Kills it as `kill -9` does; resolves when all it said has been read. */
  async kill(): Promise<void> {
    // The whole group: killing a tracer leaves what it traces.
    if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL');
    await this.#exited;
    while (!this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

/** Numbers of the puts that were acknowledged. */
export function acknowledged(lines: readonly string[]): number[] {
  return lines.filter((line) => line.startsWith('ack ')).map((line) => Number(line.slice(4)));
}
