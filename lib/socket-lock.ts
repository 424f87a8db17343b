/**
 * A lock that ends with its process: a unix socket in the folder of what it guards. One that
 * answers belongs to a living server, also to one in another container, where process IDs mean
 * nothing; one that does not is left over from a server that was killed.
 */
import { chmod, lstat, mkdtemp, rm, symlink } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { EncServerError, errnoOf } from './errors.ts';

/** Shortest bound on a unix socket's path in use (macOS; Linux has 108), without its final NUL. */
const SOCKET_PATH_BYTES_MAX = 103;
const TRIES_MAX = 5;

/**
 * Takes the socket, unless somebody has it, this process included. Two that find a dead one at
 * once could both replace it: something else has to decide between them.
 *
 * @returns what gives it back, or undefined where it is taken
 * @throws EncServerError `FILE_ERROR` if something else lies there, or its name is too long
 */
export async function holdSocket(path: string): Promise<(() => Promise<void>) | undefined> {
  const server = await takeSocket(resolve(path));
  if (server === undefined) return undefined;
  return async () => {
    // A closing server removes the name that it was bound by, and a second removal could take the
    // socket of the next holder. The way around of a long name is gone by now.
    if (!isShort(resolve(path))) await rm(path, { force: true });
    await new Promise((done) => server.close(done));
  };
}

async function takeSocket(path: string): Promise<Server | undefined> {
  if (isShort(path)) return await listenOrReplace(path);
  // A socket's path is limited to about 107 bytes. Through a short link the socket itself still
  // lies in the folder, where every server looks, whatever its folder for temporary files is.
  const detour = await mkdtemp(join(tmpdir(), 'enc-'));
  try {
    const short = join(detour, 'd', basename(path));
    if (!isShort(short)) {
      const hint = 'call the file that it guards by a shorter name';
      throw new EncServerError('FILE_ERROR', `${path} is too long for a socket`, { hint });
    }
    await symlink(dirname(path), join(detour, 'd'));
    return await listenOrReplace(short);
  } finally {
    await rm(detour, { recursive: true });
  }
}

function isShort(path: string): boolean {
  return Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX;
}

async function listenOrReplace(path: string): Promise<Server | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      return await listen(path);
    } catch (thrown) {
      // Its holder may be giving it back at this moment.
      const isAgain = errnoOf(thrown) === 'EADDRINUSE' || errnoOf(thrown) === 'ENOENT';
      if (!isAgain || tries === TRIES_MAX) throw thrown;
    }
    if (await isAnswering(path)) return undefined;
    if ((await lstat(path).catch(() => undefined))?.isSocket() === false) {
      throw new EncServerError('FILE_ERROR', `${path} is not a socket`);
    }
    await rm(path, { force: true });
  }
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
  try {
    await chmod(path, 0o600);
  } catch (thrown) {
    server.close();
    throw thrown;
  }
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
      // EAGAIN: it is alive, but too many ask at once; ECONNRESET: it was a moment ago.
      if (errno === 'EAGAIN' || errno === 'ECONNRESET') resolve(true);
      else if (errno === 'ECONNREFUSED' || errno === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}
