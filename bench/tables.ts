/** The benchmark's results for people. */
import type { Ceilings } from './ceilings.ts';

export interface Row {
  readonly server: string;
  readonly operation: string;
  readonly bytes: number;
  readonly connections: number;
  readonly depth: number;
  readonly durable: string;
  readonly perSecond: number;
  readonly least: number;
  readonly most: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly cpu: Readonly<Record<string, number>>;
}

export interface Results {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly ceilings: {
    readonly kib: Ceilings;
    readonly mib: Ceilings;
    readonly storePerSecond: number;
    readonly writeMicros: number;
  };
  readonly rows: readonly Row[];
  readonly rounds: number;
  readonly seconds: number;
}

const KIB = 1024;

export function printTables({ machine, ceilings, rows, rounds, seconds }: Results): void {
  const say = (line = '') => process.stdout.write(`${line}\n`);
  say(
    Object.entries(machine)
      .map(([name, value]) => `${name} ${value}`)
      .join(', '),
  );
  say(
    `medians of ${rounds} rounds of ${seconds} s; least and most beside them; everything on one machine`,
  );
  say();
  const { kib, storePerSecond, writeMicros } = ceilings;
  const micros = (value: number) => `${value.toFixed(1)} µs`;
  say(
    `ceilings, 1 KiB: bare seal ${micros(kib.bareSeal)}, bare open ${micros(kib.bareOpen)}, our seal ${micros(kib.seal)}, our open ${micros(kib.open)}, pseudonym ${micros(kib.pseudonym)}`,
  );
  say(
    `LevelDB: ${Math.round(storePerSecond)} writes/s in synced batches of 64; one synced write ${micros(writeMicros)}`,
  );
  say();
  const header = [
    'server',
    'operation',
    'bytes',
    'callers',
    'a second',
    'least',
    'most',
    'p50 ms',
    'p99 ms',
    'processor µs',
  ];
  const cells = rows.map((row) => [
    row.server,
    row.operation,
    `${row.bytes}`,
    row.depth === 1 ? `${row.connections}` : `${row.connections} x ${row.depth}`,
    ...[row.perSecond, row.least, row.most].map((value) => `${Math.round(value)}`),
    ...[row.p50, row.p99].map((value) => (value / 1_000).toFixed(2)),
    Object.entries(row.cpu)
      .map(([name, value]) => `${name} ${value.toFixed(0)}`)
      .join(' '),
  ]);
  const widths = header.map((_name, column) =>
    Math.max(...[header, ...cells].map((line) => line[column]?.length ?? 0)),
  );
  for (const line of [header, ...cells]) {
    say(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
  say();
  for (const line of ratios(ceilings, rows)) say(line);
  const durable = new Map(
    rows.filter((row) => row.durable !== '').map((row) => [row.server, row.durable]),
  );
  say();
  say('before a write is answered:');
  for (const [server, words] of durable) say(`  ${server}: ${words}`);
}

/** What the marks of this program are about; absent where a peer is. */
export function ratios({ kib, writeMicros }: Results['ceilings'], rows: readonly Row[]): string[] {
  const find = (server: string, operation: string, bytes = KIB, connections = 64, depth = 1) =>
    rows.find(
      (row) =>
        row.server === server &&
        row.operation === operation &&
        row.bytes === bytes &&
        row.connections === connections &&
        row.depth === depth,
    );
  const lines: string[] = [];
  const against = (
    words: string,
    ours: number | undefined,
    other: number | undefined,
    mark: string,
  ) => {
    const value = ours === undefined || other === undefined ? 'absent' : (ours / other).toFixed(2);
    lines.push(`${words.padEnd(62)} ${value.padStart(7)}   (mark: ${mark})`);
  };
  const store = find('ours', 'store');
  const retrieve = find('ours', 'retrieve');
  against(
    'STORE, 64 callers / Redis SET',
    store?.perSecond,
    find('redis', 'store')?.perSecond,
    '0.6',
  );
  against(
    'STORE / PostgreSQL + pgcrypto',
    store?.perSecond,
    find('postgres', 'store')?.perSecond,
    '1.5',
  );
  against(
    'RETRIEVE / PostgreSQL + pgcrypto',
    retrieve?.perSecond,
    find('postgres', 'retrieve')?.perSecond,
    '1.0',
  );
  for (const operation of ['store', 'retrieve']) {
    const ours = find('ours on mongodb', operation)?.perSecond;
    against(
      `${operation.toUpperCase()} on MongoDB / driver, one a call`,
      ours,
      find('mongodb driver', operation, KIB, 1, 64)?.perSecond,
      '2',
    );
    against(
      `${operation.toUpperCase()} on MongoDB / driver, 64 a call`,
      ours,
      find('mongodb driver, 64 a call', operation, KIB, 1, 64)?.perSecond,
      '0.8',
    );
  }
  against(
    'FE processor time of a STORE / bare seal and pseudonym',
    store?.cpu['fe'],
    kib.bareSeal + kib.pseudonym,
    'at most 2',
  );
  against(
    'STORE p50, 1 caller / one synced LevelDB write',
    find('ours', 'store', KIB, 1)?.p50,
    writeMicros,
    'at most 2',
  );
  against(
    'RETRIEVE of 1 MiB / framed echo of 1 MiB',
    find('ours', 'retrieve', KIB * KIB, 1)?.perSecond,
    find('echo', 'store', KIB * KIB, 1)?.perSecond,
    '0.4',
  );
  return lines;
}
