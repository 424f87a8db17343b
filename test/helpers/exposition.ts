/** The text format of Prometheus, read strictly. */
import assert from 'node:assert/strict';

export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

export interface Metric {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

/**
 * HELP, then TYPE, then the samples of one metric; each metric and each series once.
 */
export function parsePage(text: string): Map<string, Metric> {
  assert.ok(text.endsWith('\n'));
  const metrics = new Map<string, Metric>();
  const series = new Set<string>();
  let help: RegExpExecArray | null = null;
  let current = '';
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const isHelp = /^# HELP ([a-z_][a-z0-9_]*) (\S.*)$/.exec(line);
    const isType = /^# TYPE ([a-z_][a-z0-9_]*) (counter|gauge|histogram)$/.exec(line);
    if (isHelp) {
      help = isHelp;
    } else if (isType) {
      const [, name = '', type = ''] = isType;
      assert.equal(help?.[1], name, 'HELP stands before TYPE');
      assert.ok(!metrics.has(name), `${name} twice`);
      metrics.set(name, { type, help: help?.[2] ?? '', samples: [] });
      current = name;
    } else {
      const sample = /^([a-z0-9_]+)(?:\{(.*)\})? (-?\d+(?:\.\d+)?(?:e[+-]\d+)?|Nan)$/.exec(line);
      assert.ok(sample, line);
      const [, name = '', inner = '', value] = sample;
      const metric = metrics.get(current) as Metric;
      const suffixes = metric.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
      assert.ok(
        suffixes.some((suffix) => name === `${current}${suffix}`),
        line,
      );
      assert.ok(!series.has(`${name}{${inner}}`), `${line} twice`);
      series.add(`${name}{${inner}}`);
      metric.samples.push({ name, labels: labelsIn(inner), value: Number(value) });
    }
  }
  return metrics;
}

function labelsIn(text: string): Map<string, string> {
  const pairs = text === '' ? [] : text.split(',');
  return new Map(
    pairs.map((pair): [string, string] => {
      const [, name = '', value = ''] = /^([a-z_]+)="([^"\\\n]*)"$/.exec(pair) ?? [];
      assert.notEqual(name, '', text);
      return [name, value];
    }),
  );
}

/** Buckets that grow to the count of all, bounds in order, and from 50 µs to 10 s for times. */
export function checkHistogram(name: string, samples: readonly Sample[]): void {
  const rows = new Map<string, Sample[]>();
  for (const sample of samples) {
    const row = [...sample.labels].filter(([label]) => label !== 'le').join(' ');
    rows.set(row, [...(rows.get(row) ?? []), sample]);
  }
  for (const row of rows.values()) {
    const buckets = row.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) =>
      Number(labels.get('le')?.replace('+Inf', 'Infinity')),
    );
    assert.deepEqual(
      bounds,
      bounds.toSorted((a, b) => a - b),
    );
    assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY);
    const values = buckets.map(({ value }) => value);
    assert.deepEqual(
      values,
      values.toSorted((a, b) => a - b),
    );
    const count = row.find((sample) => sample.name === `${name}_count`);
    assert.equal(values.at(-1), count?.value);
    assert.ok(row.some((sample) => sample.name === `${name}_sum`));
    if (!name.endsWith('_seconds')) continue;
    assert.ok((bounds[0] ?? 1) <= 50e-6 && (bounds.at(-2) ?? 0) >= 10);
  }
}
