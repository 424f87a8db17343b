/** What the parts can do by themselves, on one core: nothing built from them is faster. */
import { randomBytes } from 'node:crypto';
import { ClassicLevel } from 'classic-level';
import { open, seal } from '../lib/crypto/envelope.ts';
import { Pseudonymizer } from '../lib/crypto/pseudonym.ts';
import { openBare, sealBare } from './bare-seal.ts';

const BATCH = 64;
const STORED_BYTES = 1_100;

/** Microseconds for each of the operations. */
export interface Ceilings {
  readonly bareSeal: number;
  readonly bareOpen: number;
  /** Our envelope: derivation, commitment and all. */
  readonly seal: number;
  readonly open: number;
  readonly pseudonym: number;
}

/** @param bytes size of a record */
export function cryptoCeilings(bytes: number, count: number): Ceilings {
  const record = randomBytes(bytes);
  const name = { namespace: Buffer.alloc(0), id: randomBytes(16) };
  const key = randomBytes(32);
  const { header, body } = seal({ name, key, record });
  const pseudonymizer = new Pseudonymizer(randomBytes(32), 1);
  const bare = sealBare(record);
  return {
    bareSeal: microsOf(count, () => sealBare(record)),
    bareOpen: microsOf(count, () => openBare(bare)),
    seal: microsOf(count, () => seal({ name, key: randomBytes(32), record })),
    open: microsOf(count, () => open(header, body, name, key)),
    pseudonym: microsOf(count, () => pseudonymizer.seal({ ...name, id: randomBytes(16) })),
  };
}

function microsOf(count: number, work: () => unknown): number {
  for (let index = 0; index < count / 10; index++) work();
  const startedAt = performance.now();
  for (let index = 0; index < count; index++) work();
  return ((performance.now() - startedAt) * 1_000) / count;
}

/** Writes per second, in synced batches of 64: what LevelDB and the disk allow. */
export async function storeCeiling(folder: string, seconds: number): Promise<number> {
  return await withLevel(folder, async (db) => {
    const value = randomBytes(STORED_BYTES);
    return await perSecond(seconds, BATCH, async () => {
      const batch = db.batch();
      for (let index = 0; index < BATCH; index++) batch.put(randomBytes(27), value);
      await batch.write({ sync: true });
    });
  });
}

/** Microseconds of a synced write of one value (median). */
export async function writeCeiling(folder: string, count: number): Promise<number> {
  return await withLevel(folder, async (db) => {
    const value = randomBytes(STORED_BYTES);
    const times: number[] = [];
    for (let index = 0; index < count; index++) {
      const startedAt = performance.now();
      await db.put(randomBytes(27), value, { sync: true });
      times.push((performance.now() - startedAt) * 1_000);
    }
    return times.sort((a, b) => a - b)[count >> 1] ?? Number.NaN;
  });
}

async function withLevel<T>(
  folder: string,
  work: (db: ClassicLevel<Buffer, Buffer>) => Promise<T>,
): Promise<T> {
  const encodings = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;
  const db = new ClassicLevel<Buffer, Buffer>(folder, { ...encodings, compression: false });
  await db.open();
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

async function perSecond(
  seconds: number,
  each: number,
  work: () => Promise<void>,
): Promise<number> {
  const startedAt = performance.now();
  let done = 0;
  while (performance.now() - startedAt < seconds * 1_000) {
    await work();
    done += each;
  }
  return (done * 1_000) / (performance.now() - startedAt);
}
