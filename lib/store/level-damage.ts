/**
 * Finds damage in a range of LevelDB's keys. Its iterators pass over a block that they cannot
 * read, and tell of it only at their end: who stops before has missed what was in it, without a
 * word.
 */
import type { LevelDatabase, LevelRange } from './level-database.ts';

const CHUNK_KEYS = 1000;

/** Reads the keys of a range to its end. Rejects as LevelDB does if there is damage in it. */
export async function checkRange(database: LevelDatabase, range: LevelRange): Promise<void> {
  await forEachKey(database, range, CHUNK_KEYS, () => true);
}

/**
 * The last key before the first damage in a range, or the last but one: at the end of a block an
 * iterator looks into the next. Undefined if the range is damaged from its beginning on. Reads no
 * further than a chunk behind the damage.
 */
export async function lastBeforeDamage(
  database: LevelDatabase,
  range: LevelRange,
): Promise<Buffer | undefined> {
  const { gte: _gte, ...behind } = range;
  for (let start = range, before: Buffer | undefined; ; start = { ...behind, gt: before }) {
    const keys = await firstKeys(database, start);
    const last = keys.at(-1);
    const isChunkWhole = last !== undefined && (await isWhole(database, start, last));
    if (!isChunkWhole) return (await lastWhole(database, start, keys)) ?? before;
    if (keys.length < CHUNK_KEYS) return last;
    before = last;
  }
}

/** Of the first keys of a range, the last one up to which it is whole. */
async function lastWhole(
  database: LevelDatabase,
  range: LevelRange,
  keys: readonly Buffer[],
): Promise<Buffer | undefined> {
  let [whole, damaged] = [-1, keys.length];
  while (damaged - whole > 1) {
    const middle = (whole + damaged) >> 1;
    if (await isWhole(database, range, keys[middle] as Buffer)) whole = middle;
    else damaged = middle;
  }
  return keys[whole];
}

function isWhole(database: LevelDatabase, range: LevelRange, last: Buffer): Promise<boolean> {
  return checkRange(database, { ...range, lt: keyAfter(last) }).then(
    () => true,
    () => false,
  );
}

/** At most a chunk of them. One after the other: what fails loses all that it was asked for at once. */
async function firstKeys(database: LevelDatabase, range: LevelRange): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  const take = (key: Buffer) => keys.push(key) < CHUNK_KEYS;
  await forEachKey(database, range, 1, take).catch(() => undefined);
  return keys;
}

/** The first key after this one. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

/** Until there are no more, or one is the last that is taken. */
async function forEachKey(
  database: LevelDatabase,
  range: LevelRange,
  atOnce: number,
  take: (key: Buffer) => boolean,
): Promise<void> {
  const iterator = database.keys(range);
  try {
    for (;;) {
      const keys = await iterator.nextv(atOnce);
      if (keys.length === 0) return;
      for (const key of keys) if (!take(key)) return;
    }
  } finally {
    await iterator.close();
  }
}
