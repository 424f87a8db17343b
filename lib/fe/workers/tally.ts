/** The metrics of all workers, including those that have ended. */
import { performance } from 'node:perf_hooks';
import type { Metric } from '../../metrics.ts';
import { countedIn, mergeMetrics } from '../../metrics-merge.ts';
import type { FromWorker } from './messages.ts';
import type { WorkerProcess } from './worker-process.ts';

/** How long a worker may take to report its metrics, in milliseconds. */
const COUNT_MS = 1_000;

/** Facts about the process that manages the workers. */
export interface ParentFacts {
  /** How many workers serve now. */
  readonly serving: number;
  /** How many workers ended and were started again. */
  readonly restarts: number;
}

export class Tally {
  readonly #workers = new Set<WorkerProcess>();
  /** The last report of each worker. */
  readonly #said = new Map<WorkerProcess, readonly Metric[]>();
  /** Counts of ended workers, since a counter must never fall while the server runs. */
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

  /** A worker that does not answer in time is represented by its last report. */
  async all(facts: ParentFacts): Promise<readonly Metric[]> {
    const silent = new Set(this.#workers);
    await Promise.all(
      [...silent].map(async (worker) => {
        if (await this.#ask(worker)) silent.delete(worker);
      }),
    );
    // Read only now: a worker may have ended since, and then counts among those.
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

/** Under prom-client's names for them, so that they are added to those of workers. */
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
