/** One server as a child process of `enc-server up`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Config } from '../config/load.ts';
import { EncServerError, EXIT } from '../errors.ts';
import { errorOf } from '../parent-process.ts';
import type { ChildMessage, ParentMessage, Role } from './serve.ts';

type Listening = Extract<ChildMessage, { kind: 'listening' }>;

const NAMES: Readonly<Record<Role, string>> = { be: 'back end', fe: 'front end' };

export class ServerChild {
  readonly name: string;
  /** Resolves when the process is gone and all its messages have arrived. */
  readonly ended: Promise<void>;
  /**
   * Resolves when the process itself is signalled to stop; it goes on until its parent stops it.
   */
  readonly signalled: Promise<void>;
  readonly #process: ChildProcess;
  readonly #listening: Promise<Listening>;
  #started = false;
  #stopping = false;

  constructor(role: Role) {
    this.name = NAMES[role];
    const child = fork(new URL('./server-process.js', import.meta.url), [role], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process = child;
    // The exit can be reported before the last message.
    this.ended = Promise.all([once(child, 'exit'), once(child, 'disconnect')]).then(() => {});
    this.signalled = new Promise((resolve) => {
      child.on('message', (message: ChildMessage) => {
        if (message.kind === 'signalled') resolve();
      });
    });
    this.#listening = new Promise((resolve, reject) => {
      child.on('message', (message: ChildMessage) => {
        if (message.kind === 'listening') resolve(message);
        if (message.kind === 'failed') reject(errorOf(message));
      });
      this.ended.then(() => {
        reject(new EncServerError('INTERNAL', `the ${this.name} ended while it started`));
      }, reject);
    });
    // Reported to whoever starts the server; before that, nobody listens.
    this.#listening.catch(() => undefined);
  }

  /** Whether it has ended normally, or had not begun. */
  get isDone(): boolean {
    return !this.#started || this.#process.exitCode === EXIT.done;
  }

  /** Resolves once the server listens; rejects with the error that keeps it from starting. */
  async start(config: Config): Promise<Listening> {
    if (!this.#stopping) {
      this.#started = true;
      this.#send({ kind: 'start', config });
    }
    return await this.#listening;
  }

  /** Lets it finish its requests; kills it if that takes longer than `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    // A server that was never started has nothing to finish.
    if (!this.#started) this.kill();
    this.#send({ kind: 'stop' });
    const timer = setTimeout(() => this.kill(), timeoutMs);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #send(message: ParentMessage): void {
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }
}
