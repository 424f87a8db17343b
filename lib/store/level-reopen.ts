/**
 * Recovery after a failed write. Once LevelDB has failed to write its log, it goes on to
 * acknowledge writes behind the gap, and those are gone after a restart (seen with one ENOSPC). So
 * the database is closed and opened again, which ends its log cleanly, before anything more is
 * acknowledged.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../errors.ts';
import { type LevelDatabase, levelReason } from './level-database.ts';
import { checkStoreId } from './meta.ts';
import type { StoreLog } from './open.ts';
import type { Reserve } from './reserve.ts';
import type { StoredHead } from './store.ts';
import { decodeValue, storedHead } from './value.ts';

/** Time between two attempts, in milliseconds; doubles from the first to the longest. */
export interface ReopenDelays {
  readonly firstMs: number;
  readonly longestMs: number;
}

export const REOPEN_DELAYS: ReopenDelays = { firstMs: 100, longestMs: 5_000 };

export interface ReopenOptions {
  readonly broken: LevelDatabase;
  readonly open: () => Promise<LevelDatabase>;
  readonly reserve: Reserve | undefined;
  readonly delays: ReopenDelays;
  readonly log: StoreLog | undefined;
  /** Ends the attempts. */
  readonly signal: AbortSignal;
}

/** Opens the database; gives the reserve up if it needs the room. */
export async function openWithReserve(
  open: () => Promise<LevelDatabase>,
  reserve: Reserve | undefined,
): Promise<LevelDatabase> {
  try {
    return await open();
  } catch (thrown) {
    const isAboutFiles = codeOf(thrown) === 'FILE_ERROR';
    if (!isAboutFiles || !(await reserve?.release())) throw thrown;
    return await open();
  }
}

/**
 * Closes a database that is not the store with this ID: another volume may be mounted where the
 * first one was.
 *
 * @throws EncServerError `STORE_DAMAGED`
 */
export async function checkSame(database: LevelDatabase, storeId: Buffer): Promise<void> {
  try {
    await checkStoreId({ head: (key) => headOf(database, key) }, storeId);
  } catch (thrown) {
    await database.close();
    throw thrown;
  }
}

async function headOf(database: LevelDatabase, key: Buffer): Promise<StoredHead | undefined> {
  const [raw] = await database.getMany([key]);
  return raw === undefined ? undefined : storedHead(decodeValue(raw, key));
}

/** Resolves to the reopened database, or to nothing if the signal came first. */
export async function reopenDatabase(options: ReopenOptions): Promise<LevelDatabase | undefined> {
  const { broken, open, reserve, delays, log, signal } = options;
  await reserve?.noteFailedWrite();
  let waitMs = delays.firstMs;
  while (!signal.aborted) {
    try {
      // Closing a closed database does nothing.
      await broken.close();
      const database = await openWithReserve(open, reserve);
      log?.('info', 'the database was opened again');
      return database;
    } catch (thrown) {
      log?.('warn', 'the database could not be opened again', { reason: levelReason(thrown) });
    }
    // Jitter, since servers that share a disk fail together. Rejects when the signal comes.
    await delay(waitMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    waitMs = Math.min(2 * waitMs, delays.longestMs);
  }
  // The signal may have come before the first attempt: the folder is about to be released.
  await broken.close().catch(() => undefined);
  return undefined;
}
