/**
 * One server per folder. LevelDB's own lock is an fcntl lock: the kernel silently drops it as soon
 * as the same process opens LOCK a second time and closes it. So there are two more, taken before
 * LevelDB is touched: a list of the folders that this process has open, and a unix socket in the
 * folder. A socket that answers belongs to a living server; one that does not is left over from a
 * server that was killed.
 */
import { chmod, lstat, mkdir, mkdtemp, realpath, rm, stat, symlink } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { syncFolder } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import type { StoreLog } from './open.ts';

export const SOCKET_NAME = 'server.sock';

/** Shortest bound on a unix socket's path in use (macOS; Linux has 108), without its final NUL. */
const SOCKET_PATH_BYTES_MAX = 103;

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
    const server = await takeSocket(folder);
    return {
      folder,
      release: async () => {
        await new Promise((resolve) => server.close(resolve));
        await rm(join(folder, SOCKET_NAME), { force: true });
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

async function takeSocket(folder: string): Promise<Server> {
  const path = join(folder, SOCKET_NAME);
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return await listenOrReplace(folder, path);
  // A socket's path is limited to about 107 bytes. Through a short link the socket itself still
  // lies in the folder, where every server looks, whatever its folder for temporary files is.
  const detour = await mkdtemp(join(tmpdir(), 'enc-'));
  try {
    await symlink(folder, join(detour, 'd'));
    return await listenOrReplace(folder, join(detour, 'd', SOCKET_NAME));
  } finally {
    await rm(detour, { recursive: true });
  }
}

async function listenOrReplace(folder: string, path: string): Promise<Server> {
  try {
    return await listen(path);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EADDRINUSE') throw thrown;
  }
  if (await isAnswering(path)) throw locked(folder, 'another server uses it');
  if (!(await lstat(path)).isSocket()) {
    throw new EncServerError('FILE_ERROR', `${join(folder, SOCKET_NAME)} is not a socket`);
  }
  // Two servers that start at once could both replace a dead socket; LevelDB's lock, which works
  // between processes, then decides.
  await rm(path, { force: true });
  return await listen(path);
}

async function listen(path: string): Promise<Server> {
  // This server exists only to be connected to.
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    // Stays attached: a later failure to accept a connection does not affect the lock.
    server.on('error', reject);
    server.listen(path, () => resolve());
  });
  server.unref();
  await chmod(path, 0o600);
  return server;
}

function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const errno = errnoOf(error);
      // EAGAIN: it is alive, but too many ask at once.
      if (errno === 'EAGAIN') resolve(true);
      else if (errno === 'ECONNREFUSED' || errno === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}

function errnoOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : undefined;
}

function locked(folder: string, why: string): EncServerError {
  return new EncServerError('FOLDER_LOCKED', `the folder ${folder} is taken: ${why}`);
}

function fileError(folder: string, cause: unknown): EncServerError {
  if (cause instanceof EncServerError) return cause;
  const reason = cause instanceof Error ? cause.message : 'unknown';
  return new EncServerError('FILE_ERROR', `cannot use the folder ${folder}: ${reason}`, { cause });
}
