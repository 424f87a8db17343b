/**
 * Compares each row of one run with the same row of another. A change smaller than the spread of
 * the rounds is called noise.
 */

import { ratios } from './marks.ts';
import { labelOf, type Results, type Row } from './results.ts';
import { tableOf } from './tables.ts';

/** Processor time of all servers for each operation, in microseconds. */
function serverMicros({ cpu }: Row): number {
  return Object.entries(cpu).reduce(
    (sum, [name, micros]) => (name === 'generator' ? sum : sum + micros),
    0,
  );
}

/** Whether the rounds of both overlap, so that the medians may differ by chance. */
function isNoise(old: Row, now: Row): boolean {
  return old.least <= now.most && now.least <= old.most;
}

/** The lines of the comparison; rows that only one run has are named at the end. */
export function compare(old: Results, now: Results): string[] {
  const before = new Map(old.rows.map((row) => [labelOf(row), row]));
  const cells = now.rows.flatMap((row) => {
    const known = before.get(labelOf(row));
    if (known === undefined) return [];
    before.delete(labelOf(row));
    return [
      [
        labelOf(row),
        `${Math.round(known.perSecond)}`,
        `${Math.round(row.perSecond)}`,
        (row.perSecond / known.perSecond).toFixed(2),
        isNoise(known, row) ? 'noise' : '',
        serverMicros(known).toFixed(0),
        serverMicros(row).toFixed(0),
      ],
    ];
  });
  const header = ['row', 'old', 'new', 'new / old', '', 'old µs', 'new µs'];
  const others = now.rows.filter((row) => !old.rows.some((one) => labelOf(one) === labelOf(row)));
  return [
    ...[old, now].map(
      ({ machine }, index) =>
        `${index === 0 ? 'old' : 'new'}: ${machine['date']}, ${machine['cpus']}, ${machine['node']}`,
    ),
    '',
    ...tableOf(header, cells),
    '',
    ...[...before.keys()].map((label) => `only in the old one: ${label}`),
    ...others.map((row) => `only in the new one: ${labelOf(row)}`),
    '',
    'ratios of the old one:',
    ...ratios(old),
    '',
    'ratios of the new one:',
    ...ratios(now),
  ];
}
