/**
 * A worker's link to its parent: the source of its connections, and what all workers know together.
 */
import { Socket } from 'node:net';
import type { Bound, BoundName } from '../../auth/bounds.ts';
import { SharedBounds } from '../../auth/joint-bounds.ts';
import { EncServerError } from '../../errors.ts';
import { type Family, type Metric, metricsOf, type Page, pageOf } from '../../metrics.ts';
import type { Arrivals } from '../../net/arrivals.ts';
import type { PortShare } from '../../net/port.ts';
import { tellParent } from '../../parent-process.ts';
import type { FromWorker, ToWorker } from './messages.ts';

/** How long a page of metrics may take, in milliseconds. */
const PAGE_MS = 5_000;

const tell: (message: FromWorker) => Promise<void> = tellParent;

export class WorkerLink implements Arrivals {
  readonly share: PortShare;
  readonly #bounds: SharedBounds;
  readonly #asked = new Map<number, (metrics: readonly Metric[]) => void>();
  #askedCount = 0;
  #take: (socket: Socket) => void = (socket) => socket.destroy();
  #listen: (port: number) => void = () => undefined;
  #families: () => readonly Family[] = () => [];

  constructor(worker: number, { config, left }: Extract<ToWorker, { kind: 'start' }>) {
    const { feServerConfigs: section } = config;
    this.share = { worker, workers: section.workers, arrivals: this };
    this.#bounds = new SharedBounds(section, section.workers, (taken) => {
      tell({ kind: 'taken', taken });
    });
    this.#bounds.learn(left);
    process.on('message', (message: ToWorker, handle: unknown) => this.#hear(message, handle));
  }

  readonly boundOf = (name: BoundName): Bound => this.#bounds.of(name);

  /** Resolves to the port that the parent listens on, once every worker is ready. */
  async open(take: (socket: Socket) => void): Promise<number> {
    this.#take = take;
    const port = new Promise<number>((resolve) => {
      this.#listen = resolve;
    });
    tell({ kind: 'ready' });
    return await port;
  }

  /** The parent gives no more connections; those on their way are told that this worker closes. */
  close(): void {
    this.#bounds.tellNow();
    this.#bounds.close();
  }

  /** Sets the source of this worker's metrics. */
  counts(families: () => readonly Family[]): void {
    this.#families = families;
  }

  /** The metrics of all workers. Rejects with `UNAVAILABLE`. */
  async page(): Promise<Page> {
    const id = ++this.#askedCount;
    const metrics = await new Promise<readonly Metric[]>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        reject(new EncServerError('UNAVAILABLE', 'the other workers do not answer'));
      }, PAGE_MS);
      this.#asked.set(id, (counted) => {
        clearTimeout(timer);
        resolve(counted);
      });
      tell({ kind: 'askCounts', id });
    });
    return await pageOf(metrics);
  }

  #hear(message: ToWorker, handle: unknown): void {
    switch (message.kind) {
      case 'connection':
        this.#serve(message.id, handle);
        break;
      case 'port':
        this.#listen(message.port);
        break;
      case 'left':
        if (message.isAnswer) this.#bounds.answered(message.left);
        else this.#bounds.learn(message.left);
        break;
      case 'count':
        void this.#count(message.id);
        break;
      case 'counted':
        this.#asked.get(message.id)?.(message.metrics);
        this.#asked.delete(message.id);
        break;
    }
  }

  #serve(id: number, socket: unknown): void {
    tell({ kind: 'has', id });
    const closed = () => tell({ kind: 'closed', id });
    if (!(socket instanceof Socket)) {
      closed();
      return;
    }
    socket.once('close', closed);
    // As it was when accepted: a caller that has ended its input still gets its answer.
    socket.allowHalfOpen = true;
    this.#take(socket);
  }

  async #count(id: number): Promise<void> {
    const metrics = await metricsOf(this.#families());
    tell({ kind: 'counts', id, metrics });
  }
}
