/**
 * Opens the store that the configuration names. Its dependencies are loaded only when it is chosen.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EncServerError } from '../errors.ts';
import { DATABASE_NAME, lockFolder } from './folder-lock.ts';
import type { GroupMeter } from './group.ts';
import type { LevelStore } from './level.ts';
import { checkStoreFormat, checkStoreId, type MetaStore, readStoreId } from './meta.ts';
import type { Store, StoreStats } from './store.ts';

/** Reports store events to its owner. The facts never hold a key of a value, or a value. */
export type StoreLog = (
  level: 'info' | 'warn' | 'error',
  message: string,
  facts?: Readonly<Record<string, string | number>>,
) => void;

export interface OpenStoreOptions {
  readonly kind: StoreStats['kind'];
  /** For a `level` store; made (0700) if it does not exist. */
  readonly folder?: string;
  /** For a `mongo` store. */
  readonly mongoURI?: string | undefined;
  /** For a `mongo` store. */
  readonly mongoDatabase?: string | undefined;
  readonly log?: StoreLog | undefined;
  /** Milliseconds since 1970 (UTC). */
  readonly now?: () => number;
  /** Bytes kept on the disk for opening the database when the disk is full. */
  readonly reserveBytes?: number;
  /** How often to check the free space, in milliseconds. */
  readonly spaceCheckMs?: number;
}

/** A store, with the maintenance that its owner runs now and then. */
export interface OpenedStore extends Store {
  /** Its location, for people; empty for memory, never with a password. */
  readonly place: string;
  /** The metrics of its writes. */
  readonly meter: GroupMeter;
  /**
   * Resolves to its ID, once it is sure that the database still has it. Rejects with `STORE_DAMAGED`
   * if it was emptied or replaced; MongoDB is not used then until the right one is back.
   */
  confirmId(): Promise<Buffer>;
  /** Deletes at most `limit` values whose time has come; resolves to how many. */
  sweepExpired(limit: number): Promise<number>;
}

/**
 * Opens a store. A new one gets its format and ID. A MongoDB that cannot be reached is not an
 * error: its store answers `UNAVAILABLE` until it can be, and is identified then.
 *
 * @throws EncServerError `FOLDER_LOCKED` if this or another process has the folder open,
 *   `BAD_CONFIG`, `FILE_ERROR`, `STORE_DAMAGED`
 */
export async function openStore(options: OpenStoreOptions): Promise<OpenedStore> {
  switch (options.kind) {
    case 'level':
      return openLevel(options);
    case 'memory':
      return openMemory(options);
    case 'mongo':
      return openMongo(options);
  }
}

/** Identifies a store that was just opened; closes it if that fails. */
async function identifyOpened(
  store: LevelStore,
  identified: (storeId: Buffer) => void = () => undefined,
): Promise<OpenedStore> {
  try {
    const storeId = await identify(store);
    identified(storeId);
    const confirmId = () => checkStoreId(store, storeId).then(() => storeId);
    return Object.assign(store, { confirmId });
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
}

/** Resolves to the store's ID, which must be the one that it had before, if any. */
async function identify(store: MetaStore, before?: Buffer): Promise<Buffer> {
  if (before !== undefined) await checkStoreId(store, before);
  await checkStoreFormat(store);
  return await readStoreId(store);
}

async function openMongo(options: OpenStoreOptions): Promise<OpenedStore> {
  const { mongoURI, mongoDatabase, log, now } = options;
  if (!mongoURI || !mongoDatabase) {
    throw new EncServerError('BAD_CONFIG', 'the store mongo needs mongoURI and mongoDatabase');
  }
  const { MongoStore } = await import('./mongo.ts');
  return MongoStore.open({ uri: mongoURI, database: mongoDatabase, identify, log, now });
}

async function openMemory(options: OpenStoreOptions): Promise<OpenedStore> {
  const { LevelStore } = await import('./level.ts');
  const { openMemoryLevel } = await import('./level-database.ts');
  const { log, now } = options;
  const open = openMemoryLevel;
  const store = await LevelStore.open({ kind: 'memory', place: '', open, log, now });
  return await identifyOpened(store);
}

/**
 * The folder holds `db/`, which belongs to LevelDB alone while it is open, and next to it `reserve`
 * and `server.sock`.
 */
async function openLevel(options: OpenStoreOptions): Promise<OpenedStore> {
  const { log, now } = options;
  if (options.folder === undefined || options.folder === '') {
    throw new EncServerError('BAD_CONFIG', 'the store level needs a folder');
  }
  const { LevelStore } = await import('./level.ts');
  const { openClassicLevel } = await import('./level-database.ts');
  const { checkSame } = await import('./level-reopen.ts');
  const { Reserve } = await import('./reserve.ts');
  const { folder, release } = await lockFolder(options.folder, log);
  const databaseFolder = join(folder, DATABASE_NAME);
  const reserve = new Reserve({
    path: join(folder, 'reserve'),
    bytes: options.reserveBytes,
    checkMs: options.spaceCheckMs,
    log,
  });
  let wasOpen = false;
  let storeId: Buffer | undefined;
  const open = async () => {
    // A folder that is gone, such as a volume that was detached, is not one to begin anew in.
    const database = await openClassicLevel(databaseFolder, !wasOpen);
    wasOpen = true;
    // Nor is one that another volume has brought.
    if (storeId !== undefined) await checkSame(database, storeId);
    return database;
  };
  let store: LevelStore;
  try {
    store = await LevelStore.open({
      kind: 'level',
      place: folder,
      open,
      measureBytes: () => folderBytes(databaseFolder),
      reserve,
      release,
      log,
      now,
    });
  } catch (thrown) {
    await reserve.close();
    await release();
    throw thrown;
  }
  return await identifyOpened(store, (id) => {
    storeId = id;
  });
}

/** Sizes of the files in a folder. Opens none of them, as LevelDB's lock requires. */
async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) {
    // LevelDB may delete files at any time.
    bytes += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0;
  }
  return bytes;
}
