/** The marks of this program, as ratios to ceilings and to others; absent if the other is. */
import type { Results, Row } from './results.ts';

const KIB = 1024;
const MIB = KIB * KIB;

type Find = (
  server: string,
  operation: string,
  bytes?: number,
  connections?: number,
  depth?: number,
) => Row | undefined;

interface Mark {
  readonly words: string;
  readonly value: number | undefined;
  /** The other side's figure; without it, there is no ratio. */
  readonly by: number | undefined;
  readonly mark: string;
}

/** One line for each ratio. */
export function ratios(results: Results): string[] {
  return [...speedMarks(results), ...resourceMarks(results)].map(({ words, value, by, mark }) => {
    const ratio = value === undefined || by === undefined ? 'absent' : (value / by).toFixed(2);
    return `${words.padEnd(62)} ${ratio.padStart(7)}   (mark: ${mark})`;
  });
}

function speedMarks({ ceilings, rows }: Results): Mark[] {
  const find: Find = (server, operation, bytes = KIB, connections = 64, depth = 1) =>
    rows.find(
      (row) =>
        row.server === server &&
        row.operation === operation &&
        row.bytes === bytes &&
        row.connections === connections &&
        row.depth === depth,
    );
  const { kib, writeMicros } = ceilings;
  const store = find('ours', 'store');
  const against = (
    words: string,
    value: number | undefined,
    by: number | undefined,
    mark: string,
  ) => ({
    words,
    value,
    by,
    mark,
  });
  return [
    against(
      'STORE, 64 callers / Redis SET',
      store?.perSecond,
      find('redis', 'store')?.perSecond,
      '0.6',
    ),
    against(
      'STORE / PostgreSQL + pgcrypto',
      store?.perSecond,
      find('postgres', 'store')?.perSecond,
      '1.5',
    ),
    against(
      'RETRIEVE / PostgreSQL + pgcrypto',
      find('ours', 'retrieve')?.perSecond,
      find('postgres', 'retrieve')?.perSecond,
      '1.0',
    ),
    ...pairMarks(find),
    ...['store', 'retrieve'].flatMap((operation) => mongoMarks(find, operation)),
    against(
      'FE processor time of a STORE / bare seal and pseudonym',
      store?.cpu['fe'],
      kib.bareSeal + kib.pseudonym,
      'at most 2',
    ),
    against(
      'the same, 32 callers on each of 8 connections',
      find('ours', 'store', KIB, 8, 32)?.cpu['fe'],
      kib.bareSeal + kib.pseudonym,
      'at most 2',
    ),
    against(
      'STORE p50, 1 caller / one synced LevelDB write',
      find('ours', 'store', KIB, 1)?.p50,
      writeMicros,
      'at most 2',
    ),
    against(
      'RETRIEVE of 1 MiB / framed echo of 1 MiB',
      find('ours', 'retrieve', MIB, 1)?.perSecond,
      find('echo', 'store', MIB, 1)?.perSecond,
      '0.4',
    ),
  ];
}

/** What two processes that only seal, pass on and write reach of the same marks. */
function pairMarks(find: Find): Mark[] {
  return (
    [
      ['store', 'redis', '0.6'],
      ['store', 'postgres', '1.5'],
      ['retrieve', 'postgres', '1.0'],
    ] as const
  ).map(([operation, peer, mark]) => ({
    words: `the bare pair's ${operation.toUpperCase()} / ${peer}`,
    value: find('bare pair', operation)?.perSecond,
    by: find(peer, operation)?.perSecond,
    mark: `${mark}, for ours`,
  }));
}

function mongoMarks(find: Find, operation: string): Mark[] {
  const value = find('ours on mongodb', operation)?.perSecond;
  const words = `${operation.toUpperCase()} on MongoDB / driver`;
  const one = find('mongodb driver', operation, KIB, 1, 64)?.perSecond;
  const many = find('mongodb driver, 64 a call', operation, KIB, 1, 64)?.perSecond;
  return [
    { words: `${words}, one a call`, value, by: one, mark: '2' },
    { words: `${words}, 64 a call`, value, by: many, mark: '0.8' },
  ];
}

function resourceMarks({ resources }: Results): Mark[] {
  const { start, idle, large } = resources ?? {};
  return [
    ...(['fe', 'be'] as const).flatMap((role) => [
      {
        words: `start of ${role} to its first answer / node -e 0`,
        value: start?.[`${role}Ms`],
        by: start?.nodeMs,
        mark: 'at most 5',
      },
      {
        words: `${role} with 64 records of 8 MiB in flight, MiB resident`,
        value: large?.[`${role}Mib`],
        by: 1,
        mark: 'at most 400',
      },
    ]),
    {
      words: `${idle?.connections ?? 10_000} idle connections, MiB more`,
      value: idle && idle.afterMib - idle.beforeMib,
      by: idle && 1,
      mark: 'at most 200',
    },
  ];
}
