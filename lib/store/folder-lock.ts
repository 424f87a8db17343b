/**
 * One server per folder. LevelDB's own lock is an fcntl lock: the kernel silently drops it as soon
 * as the same process opens LOCK a second time and closes it. So there are two more, taken before
 * LevelDB is touched: a list of the folders that this process has open, and a unix socket in the
 * folder.
 */
import { mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { holdSocket } from '../socket-lock.ts';
import type { StoreLog } from './open.ts';

export const SOCKET_NAME = 'server.sock';

/** LevelDB's own folder, inside the one that is locked. */
export const DATABASE_NAME = 'db';

/** A folder that belongs to this process until it is released. */
export interface FolderLock {
  /** The real path of the folder. */
  readonly folder: string;
  release(): Promise<void>;
}

/** Folders that this process has open, by device and inode, whatever path they were opened by. */
const heldFolders = new Set<string>();

/**
 * Makes the folder (0700) and LevelDB's inside it if they do not exist, and takes the lock.
 *
 * @throws EncServerError `FOLDER_LOCKED` if this or another process has it, `FILE_ERROR`
 */
export async function lockFolder(path: string, log?: StoreLog): Promise<FolderLock> {
  const { folder, identity } = await prepareFolder(path, log);
  // No await between the check and the entry: that is what makes it a lock.
  if (heldFolders.has(identity)) throw locked(folder, 'this process has it open already');
  heldFolders.add(identity);
  try {
    // Two servers that start at once could both replace a dead socket; LevelDB's lock, which works
    // between processes, decides between them.
    const releaseSocket = await holdSocket(join(folder, SOCKET_NAME));
    if (releaseSocket === undefined) throw locked(folder, 'another server uses it');
    return {
      folder,
      release: async () => {
        await releaseSocket();
        heldFolders.delete(identity);
      },
    };
  } catch (thrown) {
    heldFolders.delete(identity);
    throw fileError(folder, thrown);
  }
}

async function prepareFolder(path: string, log: StoreLog | undefined) {
  try {
    const isNew = await mkdir(join(path, DATABASE_NAME), { recursive: true, mode: 0o700 });
    const folder = await realpath(path);
    // LevelDB syncs its own files; that the folder itself survives a power cut is up to us.
    if (isNew !== undefined) for (const one of [folder, dirname(folder)]) await syncFolder(one);
    const { dev, ino, mode } = await stat(folder, { bigint: true });
    if ((mode & 0o077n) !== 0n) {
      log?.('warn', 'others on this machine can look into the data folder; chmod 700 it', {
        folder,
      });
    }
    return { folder, identity: `${dev}:${ino}` };
  } catch (thrown) {
    throw fileError(path, thrown);
  }
}

function locked(folder: string, why: string): EncServerError {
  return new EncServerError('FOLDER_LOCKED', `the folder ${folder} is taken: ${why}`);
}

function fileError(folder: string, cause: unknown): EncServerError {
  if (cause instanceof EncServerError) return cause;
  const reason = cause instanceof Error ? cause.message : 'unknown';
  return new EncServerError('FILE_ERROR', `cannot use the folder ${folder}: ${reason}`, { cause });
}
