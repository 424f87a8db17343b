/** Looking many keys up together, and each alone where that fails. */
import type { LevelDatabase, LevelReadOptions } from './level-database.ts';

/** The value under a key, if any; or why it could not be read. */
export type LookedUp = Buffer | undefined | Error;

/**
 * Resolves to the values under keys, in their order. LevelDB fails a joint lookup as a whole, so
 * then each key is looked up alone: a damaged block fails only lookups of what is in it.
 *
 * @param together - the joint lookup
 */
export async function getEach(
  database: LevelDatabase,
  keys: Buffer[],
  options: LevelReadOptions,
  together: (keys: Buffer[]) => Promise<readonly LookedUp[]> = (all) =>
    database.getMany(all, options),
): Promise<readonly LookedUp[]> {
  try {
    return await together(keys);
  } catch (thrown) {
    if (keys.length === 1) return [thrown as Error];
    const alone = keys.map((key) => getEach(database, [key], options));
    return (await Promise.all(alone)).flat();
  }
}
