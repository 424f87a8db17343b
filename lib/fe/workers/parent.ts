/**
 * A front end of several processes: this one accepts, counts and keeps the accounts, and has no
 * keyring; its workers are front ends that get their connections from it. A worker that ends
 * unexpectedly is restarted.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BoundsAccount, type Taken } from '../../auth/joint-bounds.ts';
import type { Config } from '../../config/load.ts';
import { workerShare } from '../../config/worker-share.ts';
import { EncServerError, toEncServerError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { Backoff } from '../../net/backoff.ts';
import { checkListening } from '../../net/host-policy.ts';
import type { RunningServer } from '../../net/port.ts';
import { FE_PORT_FLAG } from '../port-flag.ts';
import { Intake } from './intake.ts';
import type { FromWorker } from './messages.ts';
import { Tally } from './tally.ts';
import { WorkerProcess } from './worker-process.ts';

/**
 * How much longer than its own bound a worker may take to end before it is killed, in milliseconds.
 */
const GRACE_MS = 1_000;
/** When to restart a worker that ended. In milliseconds. */
const RESTARTING = { firstMs: 50, maxMs: 30_000, shortMs: 10_000 };

/**
 * Starts the workers, each of which runs `program`, then listens. Rejects as `startFe`, and with
 * `BAD_CONFIG` if several processes would write one audit log.
 */
export async function startFeWorkers(
  config: Config,
  log: Logger,
  program: URL,
): Promise<RunningServer> {
  checkListening(config.feServerConfigs);
  checkAudit(config.feServerConfigs);
  const parent = new Parent(config, log, program);
  try {
    return await parent.start();
  } catch (error) {
    await parent.stop(GRACE_MS);
    throw error;
  }
}

/** Two writers would fork its chain. */
function checkAudit({ auditLog, workers }: Config['feServerConfigs']): void {
  if (auditLog === '') return;
  const hint = 'set workers to 1, or run several front ends with an audit log and a port each';
  const words = `an audit log has one writer, and there would be ${workers} workers`;
  throw new EncServerError('BAD_CONFIG', words, { hint });
}

class Parent {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #program: URL;
  readonly #intake: Intake;
  readonly #account: BoundsAccount;
  readonly #tally = new Tally();
  /** All worker processes, including those that do not serve yet. */
  readonly #workers = new Set<WorkerProcess>();
  readonly #closing = new AbortController();
  #port = 0;
  #restarts = 0;

  constructor(config: Config, log: Logger, program: URL) {
    this.#config = config;
    this.#log = log;
    this.#program = program;
    this.#intake = new Intake(config.feServerConfigs, FE_PORT_FLAG, log);
    this.#account = new BoundsAccount(config.feServerConfigs);
  }

  async start(): Promise<RunningServer> {
    const { workers: count, drainTimeoutMs } = this.#config.feServerConfigs;
    // All load concurrently.
    const workers = Array.from({ length: count }, (_none, index) => this.#make(index + 1));
    const [first, ...others] = workers as [WorkerProcess, ...WorkerProcess[]];
    // The first starts alone, so that errors are reported once, and the keyring is made once.
    await this.#begin(first);
    await Promise.all(others.map((worker) => this.#begin(worker)));
    for (const worker of workers) this.#intake.add(worker);
    this.#port = await this.#intake.open();
    const [line] = await Promise.all(workers.map((worker) => worker.serve(this.#port)));
    for (const worker of workers) this.#keep(worker, new Backoff(undefined, RESTARTING));
    this.#log.info({ port: this.#port, workers: count }, 'listening');
    return {
      port: this.#port,
      line: line as string,
      close: async () => {
        this.#log.info('closing');
        await this.stop(drainTimeoutMs + GRACE_MS);
        this.#log.info('closed');
      },
    };
  }

  /** Lets all workers finish, and kills those that take longer than `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#closing.abort();
    this.#intake.close();
    await Promise.all([...this.#workers].map((worker) => worker.stop(timeoutMs)));
  }

  #make(number: number): WorkerProcess {
    const worker = new WorkerProcess(number, this.#program);
    this.#workers.add(worker);
    this.#tally.add(worker);
    worker.on('message', (message) => this.#hear(worker, message));
    void worker.ended.then(() => this.#workers.delete(worker));
    return worker;
  }

  #begin(worker: WorkerProcess): Promise<void> {
    return worker.start(workerShare(this.#config, worker.number), this.#account.left);
  }

  /** Restarts a worker when it ends. */
  #keep(worker: WorkerProcess, backoff: Backoff): void {
    backoff.ready();
    void worker.ended.then(() => {
      if (this.#closing.signal.aborted) return;
      const { number, pid, end, connections } = worker;
      const facts = { worker: number, workerPid: pid, end, connections: connections.size };
      this.#log.error(facts, 'a worker ended, and is started again');
      void this.#follow(number, backoff);
    });
  }

  async #follow(number: number, backoff: Backoff): Promise<void> {
    const { signal } = this.#closing;
    for (let delayMs = backoff.lost(false); ; delayMs = backoff.lost(true)) {
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      this.#restarts++;
      const worker = this.#make(number);
      try {
        await this.#begin(worker);
        await worker.serve(this.#port);
        this.#intake.add(worker);
        this.#keep(worker, backoff);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const err = toEncServerError(thrown);
        this.#log.error({ worker: number, err }, 'a worker did not start, and is started again');
        await worker.stop(GRACE_MS);
      }
    }
  }

  #hear(worker: WorkerProcess, message: FromWorker): void {
    if (message.kind === 'taken') this.#spread(worker, message.taken);
    else if (message.kind === 'askCounts') void this.#tell(worker, message.id);
  }

  /** What one worker has allowed is taken from all. */
  #spread(worker: WorkerProcess, taken: Taken): void {
    const left = this.#account.take(taken);
    for (const one of this.#workers) one.send({ kind: 'left', left, isAnswer: one === worker });
  }

  async #tell(worker: WorkerProcess, id: number): Promise<void> {
    const facts = { serving: this.#intake.serving, restarts: this.#restarts };
    worker.send({ kind: 'counted', id, metrics: await this.#tally.all(facts) });
  }
}
