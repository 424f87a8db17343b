/**
 * What a server counts while it works: plain numbers, so that a request costs next to nothing and
 * nothing is loaded before metrics are requested. {@link exposition} makes a page of them.
 */

/** Upper bounds of the buckets for times, in seconds: 50 µs to 10 s. */
export const SECONDS_BOUNDS: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
  5, 10,
];
/** Upper bounds of the buckets for sizes of groups. */
export const COUNT_BOUNDS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** Counts values in buckets. */
export class Histogram {
  readonly bounds: readonly number[];
  /** How many fell into each bucket; the last one has no upper bound. */
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > (this.bounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += value;
    this.count++;
  }
}

/** Labels and their values; all from closed lists, never from a request. */
export type Labels = Readonly<Record<string, string>>;

/** One metric of a page, with its current value. */
export type Family = {
  readonly name: string;
  readonly help: string;
  /** How the values of several processes are combined, if not by their sum. */
  readonly together?: 'min';
} & (
  | {
      readonly type: 'counter' | 'gauge';
      readonly values: readonly { readonly labels: Labels; readonly value: number }[];
    }
  | {
      readonly type: 'histogram';
      readonly values: readonly { readonly labels: Labels; readonly histogram: Histogram }[];
    }
);

/** A metric that is one number. */
export function single(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: number,
  together?: 'min',
): Family {
  const values = [{ labels: {}, value }];
  return { type, name, help, values, ...(together && { together }) };
}

/** A page in the text format of Prometheus, including metrics of the process itself. */
export interface Page {
  readonly contentType: string;
  readonly text: string;
}

/** One metric of one process, in prom-client's form; it can be sent to another process. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  /** How it is combined: `sum`, `min`, `max`, `average`, `first`; `omit` if it cannot be. */
  readonly aggregator: string;
  readonly values: readonly {
    /** Of a histogram, with `_bucket`, `_sum`, `_count`; else the name of the metric. */
    readonly metricName?: string;
    readonly labels: Readonly<Record<string, string | number>>;
    readonly value: number;
  }[];
}

type Counter = import('prom-client').Counter;
type PromClient = typeof import('prom-client');

const PREFIX = 'enc_server_';

/** Loaded for the first page; from then on the event loop's delay is monitored. */
let loaded: Promise<PromClient> | undefined;

export async function exposition(families: readonly Family[]): Promise<Page> {
  const { register, Registry } = await load();
  const registry = new Registry();
  for (const family of families) registry.registerMetric(metricOf(family) as never);
  const [own, process] = await Promise.all([registry.metrics(), register.metrics()]);
  return { contentType: register.contentType, text: `${own}${process}` };
}

/** The content of {@link exposition}'s page, to be combined with that of other processes. */
export async function metricsOf(families: readonly Family[]): Promise<Metric[]> {
  const { register } = await load();
  const own = await Promise.all(families.map((family) => metricOf(family).get()));
  return [...own, ...((await register.getMetricsAsJSON()) as unknown as Metric[])];
}

/** A page of combined metrics. */
export async function pageOf(metrics: readonly Metric[]): Promise<Page> {
  const { Registry } = await load();
  const registry = new Registry();
  for (const metric of metrics) {
    registry.registerMetric({ ...metric, get: async () => metric } as never);
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}

function load(): Promise<PromClient> {
  loaded ??= import('prom-client').then(({ default: client }) => {
    watchProcess(client);
    return client;
  });
  return loaded;
}

/** prom-client's counters of processor time start when they are made, later than the process. */
function watchProcess({ collectDefaultMetrics, register }: PromClient): void {
  const { user, system } = process.cpuUsage();
  collectDefaultMetrics({ prefix: PREFIX });
  const spent = { cpu_user: user, cpu_system: system, cpu: user + system };
  for (const [name, micros] of Object.entries(spent)) {
    const counter = register.getSingleMetric(`${PREFIX}process_${name}_seconds_total`) as Counter;
    counter.inc(micros / 1e6);
  }
}

/** What prom-client accepts as a metric: an object that returns its values on request. */
function metricOf(family: Family) {
  const { name, help, type } = family;
  const values =
    family.type === 'histogram'
      ? family.values.flatMap(({ labels, histogram }) => linesOf(name, labels, histogram))
      : family.values;
  const aggregator = family.together ?? 'sum';
  return { name, help, get: async () => ({ name, help, type, values, aggregator }) };
}

/** Buckets are cumulative in a page. */
function linesOf(name: string, labels: Labels, { bounds, counts, sum, count }: Histogram) {
  let total = 0;
  const buckets = bounds.map((bound, index) => {
    total += counts[index] as number;
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bound }, value: total };
  });
  return [
    ...buckets,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
