/**
 * Finds damage in a range of LevelDB's keys. Its iterators pass over a block that they cannot
 * read, and tell of it only at their end: who stops before has missed what was in it, without a
 * word.
 */
import type { LevelDatabase, LevelRange } from './level-database.ts';

const CHUNK_KEYS = 1000;

/** Reads the keys of a range to its end. Rejects as LevelDB does if there is damage in it. */
export async function checkRange(database: LevelDatabase, range: LevelRange): Promise<void> {
  await forEachKey(database, range, CHUNK_KEYS, () => undefined);
}

/**
 * The last key before the damage in a range, or the last but one: at the end of a block an
 * iterator looks into the next. Undefined if the range is damaged from its beginning on.
 */
export async function lastBeforeDamage(
  database: LevelDatabase,
  range: LevelRange,
): Promise<Buffer | undefined> {
  const keys: Buffer[] = [];
  // One after the other: what fails loses all that it was asked for at once.
  await forEachKey(database, range, 1, (key) => keys.push(key)).catch(() => undefined);
  let [whole, damaged] = [-1, keys.length];
  while (damaged - whole > 1) {
    const middle = (whole + damaged) >> 1;
    const part = { ...range, lt: keyAfter(keys[middle] as Buffer) };
    const isWhole = await checkRange(database, part).then(
      () => true,
      () => false,
    );
    if (isWhole) whole = middle;
    else damaged = middle;
  }
  return keys[whole];
}

/** The first key after this one. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

async function forEachKey(
  database: LevelDatabase,
  range: LevelRange,
  atOnce: number,
  take: (key: Buffer) => void,
): Promise<void> {
  const iterator = database.keys(range);
  try {
    for (;;) {
      const keys = await iterator.nextv(atOnce);
      if (keys.length === 0) return;
      for (const key of keys) take(key);
    }
  } finally {
    await iterator.close();
  }
}
