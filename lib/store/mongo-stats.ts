/** What MongoDB tells about the collection of the values. */
import type { Collection } from 'mongodb';
import { META_KEYS } from './meta.ts';
import type { ValueDocument } from './mongo-document.ts';

/** MongoDB's code for an unknown stage of a pipeline. */
const NO_SUCH_STAGE = 40324;

/** Documents that are facts about the store rather than records. */
export async function countFacts(values: Collection<ValueDocument>): Promise<number> {
  const filter = { _id: { $in: [...META_KEYS] } };
  const found = values.find(filter, { projection: { _id: 1 } });
  return (await found.toArray()).length;
}

/** Bytes on the disk; 0 if MongoDB does not report them. */
export async function storageBytes(values: Collection<ValueDocument>): Promise<number> {
  const pipeline = [{ $collStats: { storageStats: {} } }];
  try {
    const [stats] = await values.aggregate(pipeline).toArray();
    return Number(stats?.['storageStats']?.['totalSize'] ?? 0);
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code === NO_SUCH_STAGE) return 0;
    throw thrown;
  }
}
