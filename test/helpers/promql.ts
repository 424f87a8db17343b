/** Expressions for Prometheus, held against what the servers really count. */
import { parser } from '@prometheus-io/lezer-promql';
import { ERRORS } from '../../lib/errors.ts';
import { OPERATIONS } from '../../lib/net/traffic.ts';
import { parsePage } from './exposition.ts';

/** The labels of each series that there can be, by its name. */
export type Registry = ReadonlyMap<string, ReadonlySet<string>>;

/** What Prometheus itself adds to every series. */
const ADDED = ['job', 'instance'];

/** The labels whose values are closed lists. */
const VALUES: Readonly<Record<string, ReadonlySet<string>>> = {
  outcome: new Set(['ok', ...Object.keys(ERRORS)]),
  operation: new Set(OPERATIONS),
  dialect: new Set(['frames', 'text', 'http', 'grpc']),
};

/** What the pages of servers have, once something of everything was counted. */
export function registryOf(...pages: string[]): Registry {
  const registry = new Map<string, Set<string>>([['up', new Set(ADDED)]]);
  for (const { samples } of pages.flatMap((page) => [...parsePage(page).values()])) {
    for (const { name, labels } of samples) {
      const known = registry.get(name) ?? new Set(ADDED);
      registry.set(name, known);
      for (const label of labels.keys()) known.add(label);
    }
  }
  return registry;
}

/** What is wrong with an expression; nothing where it is sound. */
export function breachesOf(expression: string, registry: Registry): string[] {
  const breaches: string[] = [];
  // A variable of Grafana's where a time stands; within quotes they are plain text.
  const text = expression.replaceAll('$__rate_interval', '5m');
  const used = new Set<string>(ADDED);
  const grouped: string[] = [];
  let labels: ReadonlySet<string> | undefined;
  let matched: string | undefined;
  parser.parse(text).iterate({
    enter({ name, type, from, to }) {
      const words = text.slice(from, to);
      if (type.isError) breaches.push(`no PromQL at ${from}: ${text}`);
      if (name === 'Identifier') {
        labels = registry.get(words);
        if (labels === undefined) breaches.push(`there is no metric ${words}`);
        for (const label of labels ?? []) used.add(label);
      }
      if (name === 'GroupingLabels') matched = undefined;
      if (name === 'LabelMatchers') matched = '';
      if (name === 'LabelName' && matched === undefined) grouped.push(words);
      else if (name === 'LabelName') {
        matched = words;
        if (labels?.has(words) === false) breaches.push(`the metric has no label ${words}`);
      }
      if (name === 'StringLiteral' && matched !== undefined) {
        breaches.push(...unknownValues(matched, words.slice(1, -1)));
      }
    },
    leave({ name }) {
      if (name === 'LabelMatchers') matched = undefined;
    },
  });
  for (const label of grouped) if (!used.has(label)) breaches.push(`nothing has a label ${label}`);
  return breaches;
}

function unknownValues(label: string, text: string): string[] {
  const values = VALUES[label];
  if (values === undefined || text.startsWith('$')) return [];
  return text
    .split('|')
    .filter((value) => !values.has(value))
    .map((value) => `${label} is never ${value}`);
}
