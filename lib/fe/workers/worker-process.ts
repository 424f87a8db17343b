/** One worker, as its parent sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Left } from '../../auth/joint-bounds.ts';
import type { Config } from '../../config/load.ts';
import { EncServerError } from '../../errors.ts';
import { errorOf } from '../../parent-process.ts';
import type { FromWorker, ToWorker } from './messages.ts';

interface Events {
  message: [message: FromWorker];
}

/** How often to check whether all messages have arrived, in milliseconds. */
const HEARD_CHECK_MS = 5;

/**
 * Killed when this process ends abruptly, such as by a second Ctrl-C, so that none is left behind.
 */
const running = new Set<WorkerProcess>();
const killAll = () => {
  for (const worker of running) worker.kill();
};

export class WorkerProcess extends EventEmitter<Events> {
  /** From 1; its successor has the same number. */
  readonly number: number;
  /** Resolves when the process is gone and all its messages have arrived. */
  readonly ended: Promise<void>;
  /** Addresses of its connections, by their IDs. */
  readonly connections = new Map<number, string>();
  readonly #process: ChildProcess;
  /** Sockets on their way to the worker. */
  readonly #underWay = new Map<number, Socket>();

  /** `program` is the module that it runs. */
  constructor(number: number, program: URL) {
    super();
    // Among others, one for each page of metrics under way.
    this.setMaxListeners(0);
    this.number = number;
    this.#process = fork(program, [String(number)], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.ended = goneOf(this.#process).then(() => this.#end());
    this.#process.on('message', (message: FromWorker) => this.#hear(message));
    if (running.size === 0) process.on('exit', killAll);
    running.add(this);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** How the process ended: its exit code, or the signal. */
  get end(): number | string | null {
    return this.#process.exitCode ?? this.#process.signalCode;
  }

  /** Resolves once it is ready to serve. Rejects with the error that keeps it from starting. */
  start(config: Config, left: Left): Promise<void> {
    const ready = this.#heard('ready');
    this.send({ kind: 'start', config, left });
    return ready.then(() => undefined);
  }

  /** Lets it serve. Resolves to its line for people. */
  async serve(port: number): Promise<string> {
    const listening = this.#heard('listening');
    this.send({ kind: 'port', port });
    return (await listening).line;
  }

  give(id: number, address: string, socket: Socket): void {
    this.connections.set(id, address);
    this.#underWay.set(id, socket);
    // Kept open until the worker confirms it: nobody closes the sockets that are still in the
    // channel when a worker ends.
    const options = { keepOpen: true };
    this.#process.send({ kind: 'connection', id } satisfies ToWorker, socket, options, () => {
      // If this failed, the worker has ended.
    });
  }

  send(message: ToWorker): void {
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }

  /** Lets it finish its requests; kills it if that takes longer than `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.send({ kind: 'stop' });
    const timer = setTimeout(() => this.kill(), timeoutMs);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #hear(message: FromWorker): void {
    if (message.kind === 'has') {
      this.#underWay.get(message.id)?.destroy();
      this.#underWay.delete(message.id);
    }
    this.emit('message', message);
  }

  #heard<K extends FromWorker['kind']>(kind: K): Promise<Extract<FromWorker, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const hear = (message: FromWorker) => {
        if (message.kind === kind) resolve(message as Extract<FromWorker, { kind: K }>);
        else if (message.kind === 'failed') reject(errorOf(message));
        else return;
        this.off('message', hear);
      };
      this.on('message', hear);
      void this.ended.then(() => {
        const words = `worker ${this.number} of the front end ended while it started`;
        reject(new EncServerError('INTERNAL', words));
      });
    });
  }

  /** Sockets that were sent but not taken would stay open for ever. */
  #end(): void {
    running.delete(this);
    if (running.size === 0) process.off('exit', killAll);
    for (const socket of this.#underWay.values()) socket.destroy();
    this.#underWay.clear();
  }
}

/**
 * Resolves when a process is gone and all its messages have arrived, which can be later. There is
 * no event for the closing of its channel if a socket was on its way.
 */
function goneOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    // There may be no room for another process; then there is no other event.
    child.on('error', () => {
      if (child.pid === undefined) resolve();
    });
    child.once('exit', async () => {
      while (child.connected) await sleep(HEARD_CHECK_MS);
      resolve();
    });
  });
}
