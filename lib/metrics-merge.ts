/** Combines the metrics of several processes, as if one had counted everything. */
import type { Metric } from './metrics.ts';

type Value = Metric['values'][number];

/**
 * One metric for all of the same name: values with the same labels become one. The buckets of
 * histograms are counts like others.
 */
export function mergeMetrics(pages: readonly (readonly Metric[])[]): Metric[] {
  const byName = new Map<string, Metric[]>();
  for (const metric of pages.flat()) {
    const others = byName.get(metric.name);
    if (others === undefined) byName.set(metric.name, [metric]);
    else others.push(metric);
  }
  return [...byName.values()].map(mergeOne);
}

/** What stays true of a process that has ended: its counts, not its state. */
export function countedIn(page: readonly Metric[]): Metric[] {
  return page.filter(({ type }) => type === 'counter' || type === 'histogram');
}

function mergeOne(metrics: readonly Metric[]): Metric {
  const rows = new Map<string, Value[]>();
  for (const value of metrics.flatMap(({ values }) => values)) {
    const { metricName, labels } = value;
    const row = JSON.stringify([metricName, Object.entries(labels).sort()]);
    const others = rows.get(row);
    if (others === undefined) rows.set(row, [value]);
    else others.push(value);
  }
  const first = metrics[0] as Metric;
  const merge = MERGES[first.aggregator] ?? sum;
  const values = [...rows.values()].map((same) => ({
    ...(same[0] as Value),
    value: merge(same.map(({ value }) => value)),
  }));
  return { ...first, values };
}

const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);

const MERGES: Readonly<Record<string, (values: readonly number[]) => number>> = {
  min: (values) => Math.min(...values),
  max: (values) => Math.max(...values),
  average: (values) => sum(values) / values.length,
  first: (values) => values[0] as number,
  // prom-client omits the start time: the server's is that of its first process.
  omit: (values) => Math.min(...values),
};
