/**
 * The databases under the LevelDB store. Both speak `abstract-level`; the interfaces here are
 * the part of it that the store uses.
 */
import { readdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { EncServerError } from '../errors.ts';
import { findDamage } from './level-log.ts';

/** One change in a batch, in the form that `abstract-level` takes. */
export type Edit =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

export interface LevelSnapshot {
  close(): Promise<void>;
}

export interface LevelReadOptions {
  readonly snapshot?: LevelSnapshot;
  /** Whether blocks that are read stay in LevelDB's cache. */
  readonly fillCache?: boolean;
}

export interface LevelRange {
  readonly gt?: Buffer;
  readonly gte?: Buffer;
  readonly lt: Buffer;
  readonly limit?: number;
  readonly snapshot?: LevelSnapshot;
  /** Approximate bytes of one answer of `nextv`. */
  readonly highWaterMarkBytes?: number;
}

interface LevelIterator<Item> {
  nextv(size: number): Promise<Item[]>;
  close(): Promise<void>;
}

interface LevelBatch {
  put(key: Buffer, value: Buffer): unknown;
  del(key: Buffer): unknown;
  write(options: { sync: boolean }): Promise<void>;
}

export interface LevelDatabase {
  getMany(keys: Buffer[], options?: LevelReadOptions): Promise<(Buffer | undefined)[]>;
  /** Without a thread: blocks the process. */
  getSync(key: Buffer, options?: LevelReadOptions): Buffer | undefined;
  batch(): LevelBatch;
  batch(edits: Edit[], options: { sync: boolean }): Promise<void>;
  iterator(range: LevelRange): LevelIterator<[Buffer, Buffer]>;
  keys(range: LevelRange): LevelIterator<Buffer>;
  snapshot(): LevelSnapshot;
  /** Approximate bytes of table files in a range; LevelDB has it, the memory database does not. */
  approximateSize?(start: Buffer, end: Buffer): Promise<number>;
  close(): Promise<void>;
}

const MIB = 1024 * 1024;

/** Memory this process may use, in bytes: that of the machine, or of its container. */
function memoryBytes(): number {
  // 0 if no container limit is known.
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
}

/**
 * Bytes that LevelDB gathers in memory before it writes a table; also the size of its log, which
 * every opening replays. A larger buffer means less rewriting: with 64 MiB, a store of 1 KiB
 * records takes a third less processor time than with 16 MiB, and more than that gains nothing.
 * There can be two such buffers, and the reserve on the disk must hold both.
 */
export const WRITE_BUFFER_BYTES =
  MIB * Math.min(64, Math.max(16, Math.floor(memoryBytes() / (64 * MIB))));
/** Blocks kept in memory. The system caches files too, so this need not hold all the data. */
const CACHE_BYTES = 32 * MIB;
/** Bytes read by a lookup: a few records. Larger blocks help only scans. */
const BLOCK_BYTES = 4096;
/**
 * With the default of 2 MiB, stores above 2 GB would have more table files than LevelDB keeps open.
 */
const TABLE_FILE_BYTES = 8 * MIB;
/**
 * Files that LevelDB keeps open, with index and Bloom filter in memory: enough for 8 GB of tables.
 */
const OPEN_FILES_MAX = 1000;

/**
 * Opens LevelDB in a folder that {@link lockFolder} holds. The binding always uses Bloom filters
 * of 10 bits a key, so a lookup of a new key seldom reads a block.
 *
 * @throws EncServerError `FOLDER_LOCKED`, `STORE_DAMAGED`, `FILE_ERROR`
 */
export async function openClassicLevel(
  folder: string,
  createIfMissing = true,
): Promise<LevelDatabase> {
  await checkFiles(folder);
  const { ClassicLevel } = await import('classic-level');
  const database = new ClassicLevel<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    createIfMissing,
    // Sealed bytes do not compress.
    compression: false,
    writeBufferSize: WRITE_BUFFER_BYTES,
    cacheSize: CACHE_BYTES,
    blockSize: BLOCK_BYTES,
    maxFileSize: TABLE_FILE_BYTES,
    maxOpenFiles: OPEN_FILES_MAX,
  });
  try {
    await database.open();
  } catch (thrown) {
    throw openingError(folder, thrown);
  }
  return database;
}

/** Files that hold stored data; the others say which of them are valid. */
const HOLDS_DATA = /\.(?:ldb|sst|log)$/;

/**
 * Refuses a folder from which LevelDB would lose data silently.
 *
 * @throws EncServerError `STORE_DAMAGED`, `FILE_ERROR`
 */
async function checkFiles(folder: string): Promise<void> {
  try {
    const names = await readdir(folder);
    checkCurrent(folder, names);
    for (const name of names) if (name.endsWith('.log')) await checkLog(join(folder, name));
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw openingError(folder, thrown);
  }
}

/**
 * If the file `CURRENT` is missing, LevelDB takes the folder for a new one, and deletes the tables
 * it finds there.
 */
function checkCurrent(folder: string, names: readonly string[]): void {
  if (names.includes('CURRENT')) return;
  const held = names.find((name) => HOLDS_DATA.test(name));
  if (held === undefined) return;
  const words = `${folder} has ${held}, but no file CURRENT, which says what counts`;
  throw new EncServerError('STORE_DAMAGED', words, {
    hint: 'bring CURRENT back (it names the newest MANIFEST file), or restore a backup',
  });
}

async function checkLog(path: string): Promise<void> {
  const damageAt = await findDamage(path);
  if (damageAt === undefined) return;
  const words = `${path} is damaged at byte ${damageAt}, and newer writes stand behind it`;
  const hint = `restore a backup; or keep a copy of the folder and cut the damaged writes and all newer ones off: truncate -s ${damageAt} ${path}`;
  throw new EncServerError('STORE_DAMAGED', words, { hint });
}

/** Opens a database that lives as long as the process. */
export async function openMemoryLevel(): Promise<LevelDatabase> {
  const { MemoryLevel } = await import('memory-level');
  const database = new MemoryLevel<Buffer, Buffer>({
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  });
  await database.open();
  return database;
}

/** The innermost code that `abstract-level` or LevelDB gave an error. */
export function levelCode(thrown: unknown): string | undefined {
  let code: string | undefined;
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ('code' in error && typeof error.code === 'string') code = error.code;
  }
  return code;
}

/** What LevelDB said went wrong; it names files, never keys. */
export function levelReason(thrown: unknown): string {
  let reason = 'unknown';
  for (let error = thrown; error instanceof Error; error = error.cause) reason = error.message;
  return reason;
}

/**
 * How LevelDB tells, as an error of the system, that a table is shorter than it was written, or
 * that a file is missing that another one names.
 */
const NOT_AS_WRITTEN =
  /\.(?:ldb|sst): Invalid argument$|[/\\](?!LOCK:)[^/\\]+: No such file or directory$/;

/** Whether files are not as they were written: waiting, or more room, does not help. */
export function isDamage(thrown: unknown): boolean {
  return levelCode(thrown) === 'LEVEL_CORRUPTION' || NOT_AS_WRITTEN.test(levelReason(thrown));
}

/** How LevelDB tells that the disk is full: its error has no code for it. */
const NO_ROOM = /No space left on device$/;
const NO_ROOM_HINT =
  'make room on the disk, then start again; nothing that was acknowledged is lost';

/** Why a database cannot be opened, or read while it is. Names files. */
export function openingError(folder: string, cause: unknown): EncServerError {
  const code = levelCode(cause);
  if (code === 'LEVEL_LOCKED') {
    return new EncServerError('FOLDER_LOCKED', `another process uses ${folder}`, { cause });
  }
  const reason = levelReason(cause);
  const words = `cannot open the database in ${folder}: ${reason}`;
  if (isDamage(cause)) return new EncServerError('STORE_DAMAGED', words, { cause });
  const hint = NO_ROOM.test(reason) ? NO_ROOM_HINT : undefined;
  return new EncServerError('FILE_ERROR', words, { hint, cause });
}

/** Size up to which a chained batch is used, in bytes. */
const CHAINED_BATCH_BYTES_MAX = 256 * 1024;

/**
 * Writes all edits or none, and syncs. A chained batch is a third faster than an array, but its
 * memory outside V8 is freed only by the garbage collector, which does not know how large it is:
 * with 8 MiB bodies the process grew to 600 MB. So large batches are passed as an array.
 */
export async function writeSynced(database: LevelDatabase, edits: Edit[]): Promise<void> {
  let bytes = 0;
  for (const edit of edits) bytes += edit.type === 'put' ? edit.value.length : 0;
  if (bytes > CHAINED_BATCH_BYTES_MAX) return database.batch(edits, { sync: true });
  const batch = database.batch();
  for (const edit of edits) {
    if (edit.type === 'put') batch.put(edit.key, edit.value);
    else batch.del(edit.key);
  }
  return batch.write({ sync: true });
}
