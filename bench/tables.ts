/** The benchmark's results for people. */
import { ratios } from './marks.ts';
import type { Results, Row } from './results.ts';

const KIB = 1024;

/** Rows under a header, each column as wide as necessary. */
export function tableOf(
  header: readonly string[],
  cells: readonly (readonly string[])[],
): string[] {
  const widths = header.map((_name, column) =>
    Math.max(...[header, ...cells].map((line) => line[column]?.length ?? 0)),
  );
  return [header, ...cells].map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** The whole run, line by line. */
export function linesOf(results: Results): string[] {
  const { machine, ceilings, rows, absent, rounds, seconds } = results;
  const { kib, storePerSecond, writeMicros } = ceilings;
  const micros = (value: number) => `${value.toFixed(1)} µs`;
  const durable = new Map(
    rows.filter((row) => row.durable !== '').map((row) => [row.server, row.durable]),
  );
  return [
    Object.entries(machine)
      .map(([name, value]) => `${name} ${value}`)
      .join(', '),
    `medians of ${rounds} rounds of ${seconds} s; least and most beside them; everything on one machine`,
    '',
    `ceilings, 1 KiB: bare seal ${micros(kib.bareSeal)}, bare open ${micros(kib.bareOpen)}, our seal ${micros(kib.seal)}, our open ${micros(kib.open)}, pseudonym ${micros(kib.pseudonym)}`,
    `LevelDB: ${Math.round(storePerSecond)} writes/s in synced batches of 64; one synced write ${micros(writeMicros)}`,
    '',
    ...tableOf(
      [
        'server',
        'operation',
        'bytes',
        'callers',
        'a second',
        'least',
        'most',
        'p50 ms',
        'p95 ms',
        'p99 ms',
        '/ceiling',
        '/redis',
        '/postgres',
        'processor µs',
      ],
      [...rows.map((row) => cellsOf(row, results)), ...absent.map((name) => [name, 'absent'])],
    ),
    '',
    '/ceiling: of writes, synced LevelDB batches (1 KiB); of reads, opening alone on one core; of 1 MiB, the echo.',
    '',
    ...ratios(results),
    '',
    'before a write is answered:',
    ...[...durable].map(([server, words]) => `  ${server}: ${words}`),
  ];
}

function cellsOf(row: Row, results: Results): string[] {
  const against = (other: number | undefined) =>
    other === undefined ? '' : (row.perSecond / other).toFixed(2);
  const peer = (server: string) =>
    row.server === server ? undefined : results.rows.find(isLike(row, server))?.perSecond;
  return [
    row.server,
    row.operation,
    `${row.bytes}`,
    row.depth === 1 ? `${row.connections}` : `${row.connections} x ${row.depth}`,
    ...[row.perSecond, row.least, row.most].map((value) => `${Math.round(value)}`),
    ...[row.p50, row.p95, row.p99].map((value) => (value / 1_000).toFixed(2)),
    against(ceilingOf(row, results)),
    against(peer('redis')),
    against(peer('postgres')),
    Object.entries(row.cpu)
      .map(([name, value]) => `${name} ${value.toFixed(0)}`)
      .join(' '),
  ];
}

/** Whether a row is the same load on another server. */
function isLike({ operation, bytes, connections, depth }: Row, server: string) {
  return (row: Row) =>
    row.server === server &&
    row.operation === operation &&
    row.bytes === bytes &&
    row.connections === connections &&
    row.depth === depth;
}

function ceilingOf({ operation, bytes }: Row, { ceilings, rows }: Results): number | undefined {
  if (bytes === KIB * KIB) {
    return rows.find((row) => row.server === 'echo' && row.bytes === bytes)?.perSecond;
  }
  if (bytes !== KIB) return undefined;
  return operation === 'retrieve' ? 1e6 / ceilings.kib.bareOpen : ceilings.storePerSecond;
}
