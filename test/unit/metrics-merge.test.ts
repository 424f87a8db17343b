/** Metrics of several processes put together: as if one had counted all of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  COUNT_BOUNDS,
  exposition,
  type Family,
  Histogram,
  type Metric,
  metricsOf,
  pageOf,
  single,
} from '../../lib/metrics.ts';
import { countedIn, mergeMetrics } from '../../lib/metrics-merge.ts';
import { checkHistogram, parsePage } from '../helpers/exposition.ts';

/** The lines of one family on a page. */
function linesOf(text: string, name: string): string[] {
  return text.split('\n').filter((line) => line.startsWith(`enc_server_${name}`));
}

function counter(values: Readonly<Record<string, number>>): Family {
  return {
    type: 'counter',
    name: 'enc_server_asked_total',
    help: 'What was asked.',
    values: Object.entries(values).map(([outcome, value]) => ({ labels: { outcome }, value })),
  };
}

function histogram(observed: readonly number[]): Family {
  const counted = new Histogram(COUNT_BOUNDS);
  for (const value of observed) counted.observe(value);
  const values = [{ labels: { dialect: 'text' }, histogram: counted }];
  return { type: 'histogram', name: 'enc_server_sizes', help: 'Sizes.', values };
}

/** What goes from one process to another. */
async function sent(...families: Family[]): Promise<Metric[]> {
  return structuredClone(await metricsOf(families));
}

test('counters and gauges are added by their labels; what has no sum has its lowest', async () => {
  const merged = mergeMetrics([
    await sent(
      counter({ ok: 3, NOT_FOUND: 1 }),
      single('gauge', 'enc_server_open', 'Open.', 2),
      single('gauge', 'enc_server_ready', 'Ready.', 1, 'min'),
    ),
    await sent(
      counter({ OVERLOADED: 5, ok: 4 }),
      single('gauge', 'enc_server_open', 'Open.', 7),
      single('gauge', 'enc_server_ready', 'Ready.', 0, 'min'),
    ),
    await sent(),
  ]);
  const { text, contentType } = await pageOf(merged);
  assert.equal(contentType, (await exposition([])).contentType);
  assert.deepEqual(linesOf(text, 'asked_total'), [
    'enc_server_asked_total{outcome="ok"} 7',
    'enc_server_asked_total{outcome="NOT_FOUND"} 1',
    'enc_server_asked_total{outcome="OVERLOADED"} 5',
  ]);
  assert.deepEqual(linesOf(text, 'open '), ['enc_server_open 9']);
  assert.deepEqual(linesOf(text, 'ready '), ['enc_server_ready 0']);
});

test('a page of one process is the page that it makes by itself', async () => {
  const families = [counter({ ok: 3 }), histogram([1, 5, 3_000])];
  const alone = parsePage((await exposition(families)).text);
  const merged = parsePage((await pageOf(mergeMetrics([await sent(...families)]))).text);
  assert.deepEqual([...merged.keys()].sort(), [...alone.keys()].sort());
  for (const { name } of families) assert.deepEqual(merged.get(name), alone.get(name));
});

test('histograms of several are the one that had observed all, wherever each value fell', async () => {
  const observed = fc.array(fc.integer({ min: 0, max: 2_000 }), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(fc.array(observed, { minLength: 1, maxLength: 4 }), async (parts) => {
      const pages = await Promise.all(parts.map((part) => sent(histogram(part))));
      const { text } = await pageOf(mergeMetrics(pages));
      const whole = await exposition([histogram(parts.flat())]);
      assert.deepEqual(linesOf(text, 'sizes'), linesOf(whole.text, 'sizes'));
      const { samples = [] } = parsePage(text).get('enc_server_sizes') ?? {};
      checkHistogram('enc_server_sizes', samples);
    }),
    { numRuns: 30 },
  );
});

test('in whatever order processes are put together, one after the other or at once', async () => {
  const pages = await Promise.all(
    [1, 2, 4].map((value) => sent(counter({ ok: value, [`only ${value}`]: value }))),
  );
  const [a, b, c] = pages as [Metric[], Metric[], Metric[]];
  const valuesOf = (metrics: Metric[]) =>
    metrics
      .find(({ name }) => name === 'enc_server_asked_total')
      ?.values.map(({ labels, value }) => `${labels['outcome']} ${value}`)
      .sort();
  const atOnce = valuesOf(mergeMetrics([a, b, c]));
  assert.deepEqual(atOnce, ['ok 7', 'only 1 1', 'only 2 2', 'only 4 4']);
  assert.deepEqual(valuesOf(mergeMetrics([mergeMetrics([c, a]), b])), atOnce);
});

test('of a process that has ended its counts stay, and nothing of what it was like', async () => {
  const page = await sent(
    counter({ ok: 3 }),
    histogram([1]),
    single('gauge', 'enc_server_open', 'Open.', 2),
  );
  const names = countedIn(page).map(({ name }) => name);
  assert.ok(names.includes('enc_server_asked_total') && names.includes('enc_server_sizes'));
  assert.ok(names.includes('enc_server_process_cpu_seconds_total'));
  assert.ok(!names.includes('enc_server_open'));
  assert.ok(!names.includes('enc_server_process_resident_memory_bytes'));
});

test('the server began when its first process did', () => {
  const begun = (value: number): Metric[] => [
    {
      name: 'enc_server_process_start_time_seconds',
      help: 'Start.',
      type: 'gauge',
      aggregator: 'omit',
      values: [{ labels: {}, value }],
    },
  ];
  const [merged] = mergeMetrics([begun(30), begun(10), begun(20)]);
  assert.deepEqual(merged?.values, [{ labels: {}, value: 10 }]);
});
