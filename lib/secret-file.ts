/**
 * Files of secrets that commands change while servers read them: always complete, readable by their
 * owner only, and no change is lost if two come at once.
 */
import { open, readlink, realpath, rename, rm, stat, unlink, utimes } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Owner, syncFolder, writeSynced } from './durable-file.ts';
import { EncServerError } from './errors.ts';

/** Together longer than a lock is believed whose holder was killed. */
const LOCK_TRIES = 240;
const LOCK_PAUSE_MS = 25;
/** How often the holder of a lock refreshes it, in milliseconds. */
const LOCK_BEAT_MS = 1_000;
/** A lock that was not refreshed for this long is abandoned, in milliseconds. */
const LOCK_STALE_MS = 4_000;
const GROUP_AND_OTHERS = 0o077;

/** Whether anybody but its owner may do anything with a file. */
export function othersMayUse({ mode }: { readonly mode: number }): boolean {
  return (mode & GROUP_AND_OTHERS) !== 0;
}

/** @throws EncServerError `FILE_ERROR` if others than its owner may use the file */
export function refuseOthers(path: string, status: { readonly mode: number }): void {
  if (!othersMayUse(status)) return;
  const hint = `chmod 600 ${path}`;
  throw new EncServerError('FILE_ERROR', `others may read ${path}`, { hint });
}

/**
 * Replaces the content of a file (0600), which keeps its owner; a symbolic link stays, and the file
 * that it leads to is replaced. A new file belongs to whoever makes it or, with `likeFolder` and if
 * root may give it away, to the owner of its folder. When it resolves, it is on disk.
 */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  { likeFolder = false } = {},
): Promise<void> {
  const real = await realPathOf(path);
  const aside = `${real}.new`;
  // Left over from a crash, or planted by somebody who would like to read the next one.
  await rm(aside, { force: true });
  const known = await ownerOf(real);
  const wished = known ?? (likeFolder ? await ownerOf(dirname(real)) : undefined);
  await writeSynced(aside, content, 0o600, wished).catch(async (thrown: NodeJS.ErrnoException) => {
    // Root of a container may lack the right; a file that is there would be taken from its owner.
    if (known !== undefined || wished === undefined || thrown.code !== 'EPERM') throw thrown;
    await writeSynced(aside, content);
  });
  await rename(aside, real);
  await syncFolder(dirname(real));
}

/**
 * Runs `work`, for as long as it takes, while no other command changes the file. Rejects with
 * `CONFLICT` if another one holds it for long, and with the system's errors about the lock.
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const unlock = await lock(`${await realPathOf(path)}.lock`);
  try {
    return await work();
  } finally {
    await unlock();
  }
}

/** What a name leads to through symbolic links, also where there is no such file yet. */
export async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
  const next = await readlink(path).catch(() => undefined);
  if (next === undefined) return path;
  // A link is read from the folder that it lies in.
  return await realPathOf(resolve(await realpath(dirname(path)), next));
}

/**
 * Only root gives files away: a service must still be able to read its file after root has changed
 * it. Undefined if there is none.
 */
async function ownerOf(path: string): Promise<Owner | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  return await stat(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT') throw thrown;
    return undefined;
  });
}

/** A file that only one process can make. Resolves to a function that removes it. */
async function lock(path: string): Promise<() => Promise<void>> {
  for (let tries = 1; ; tries++) {
    try {
      await (await open(path, 'wx', 0o600)).close();
      const beat = () => void utimes(path, new Date(), new Date()).catch(() => undefined);
      const timer = setInterval(beat, LOCK_BEAT_MS);
      return async () => {
        clearInterval(timer);
        // What was done under it is done: that somebody has removed it is no failure of that.
        await rm(path, { force: true });
      };
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    }
    if (tries >= LOCK_TRIES) {
      const hint = `if no command is running, remove ${path}`;
      throw new EncServerError('CONFLICT', 'another command is changing the file', { hint });
    }
    await removeStale(path);
    await sleep(LOCK_PAUSE_MS);
  }
}

async function removeStale(path: string): Promise<void> {
  try {
    if (Date.now() - (await stat(path)).mtimeMs > LOCK_STALE_MS) await unlink(path);
  } catch (thrown) {
    // Its owner removed it first.
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
}
