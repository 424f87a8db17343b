/** What all workers have counted, those that have ended among them. */
import { performance } from 'node:perf_hooks';
import type { Metric } from '../../metrics.ts';
import { countedIn, mergeMetrics } from '../../metrics-merge.ts';
import type { FromWorker } from './messages.ts';
import type { WorkerProcess } from './worker-process.ts';

/** How long a worker may take to say what it counts, in milliseconds. */
const COUNT_MS = 1_000;

/** What the process that keeps the workers says of itself. */
export interface ParentFacts {
  /** Workers that serve now. */
  readonly serving: number;
  /** Workers that ended and were started again. */
  readonly restarts: number;
}

export class Tally {
  readonly #workers = new Set<WorkerProcess>();
  /** What each said last. */
  readonly #said = new Map<WorkerProcess, readonly Metric[]>();
  /** Of those that have ended: a counter never falls while the server runs. */
  #ended: readonly Metric[] = [];
  #lastId = 0;

  add(worker: WorkerProcess): void {
    this.#workers.add(worker);
    void worker.ended.then(() => {
      this.#workers.delete(worker);
      this.#ended = mergeMetrics([this.#ended, countedIn(this.#said.get(worker) ?? [])]);
      this.#said.delete(worker);
    });
  }

  /** One that does not answer in time has what it said last. */
  async all(facts: ParentFacts): Promise<readonly Metric[]> {
    const silent = new Set(this.#workers);
    await Promise.all(
      [...silent].map(async (worker) => {
        if (await this.#ask(worker)) silent.delete(worker);
      }),
    );
    // Only now: one may have ended since, and is counted among those.
    const pages = [...this.#said].map(([worker, metrics]) =>
      silent.has(worker) ? countedIn(metrics) : metrics,
    );
    return mergeMetrics([...pages, this.#ended, ofParent(facts)]);
  }

  #ask(worker: WorkerProcess): Promise<boolean> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const done = (isAnswered: boolean) => {
        clearTimeout(timer);
        worker.off('message', hear);
        resolve(isAnswered);
      };
      const hear = (message: FromWorker) => {
        if (message.kind !== 'counts' || message.id !== id) return;
        this.#said.set(worker, message.metrics);
        done(true);
      };
      const timer = setTimeout(() => done(false), COUNT_MS);
      worker.on('message', hear);
      void worker.ended.then(() => done(false));
      worker.send({ kind: 'count', id });
    });
  }
}

/** Under the names that prom-client has for them, so that they are added to those of workers. */
function ofParent({ serving, restarts }: ParentFacts): Metric[] {
  const { user, system } = process.cpuUsage();
  const startSeconds = performance.timeOrigin / 1_000;
  const cpu = (kind: string, micros: number) =>
    metric('counter', `process_cpu_${kind}seconds_total`, 'Processor time.', micros / 1e6);
  return [
    metric('gauge', 'workers', 'Workers that serve.', serving),
    metric('counter', 'worker_restarts_total', 'Workers that were started again.', restarts),
    cpu('user_', user),
    cpu('system_', system),
    cpu('', user + system),
    metric('gauge', 'process_resident_memory_bytes', 'Memory.', process.memoryUsage.rss()),
    metric('gauge', 'process_start_time_seconds', 'When it began.', startSeconds, 'min'),
  ];
}

function metric(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: number,
  aggregator = 'sum',
): Metric {
  return { type, name: `enc_server_${name}`, help, aggregator, values: [{ labels: {}, value }] };
}
