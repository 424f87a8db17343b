import { endOfPrefix } from './keys.ts';
import type { LevelDatabase } from './level-database.ts';
import { TABLE } from './store.ts';

/** Up to this many, keys are counted; beyond it, they are estimated. */
const COUNTED_MAX = 4096;

/**
 * Number of values that callers stored, without meta. Exact for small stores. In larger ones the
 * first 4096 are counted, and the rest is assumed to be of the same size: LevelDB knows the bytes
 * of a range. Those bytes leave out what is not yet in tables, so call this on a database that was
 * just opened, when its log has become a table.
 */
export async function countValues(database: LevelDatabase): Promise<number> {
  const first = Buffer.from([TABLE.RECORDS]);
  const end = endOfPrefix(Buffer.from([TABLE.FOREIGN]));
  const iterator = database.keys({ gte: first, lt: end, highWaterMarkBytes: 1024 * 1024 });
  let counted = 0;
  let last: Buffer = first;
  try {
    while (counted < COUNTED_MAX) {
      const keys = await iterator.nextv(COUNTED_MAX - counted);
      if (keys.length === 0) return counted;
      counted += keys.length;
      last = keys.at(-1) ?? last;
    }
  } finally {
    await iterator.close();
  }
  if (database.approximateSize === undefined) return counted;
  const countedBytes = await database.approximateSize(first, last);
  const allBytes = await database.approximateSize(first, end);
  if (countedBytes === 0) return counted;
  return Math.max(counted, Math.round((counted * allBytes) / countedBytes));
}
