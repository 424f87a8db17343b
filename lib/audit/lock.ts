/**
 * One writer per audit log: two would fork its chain. The lock is a symbolic link whose target
 * names the process that holds it, so that it exists completely or not at all, even on a full disk.
 * One whose process is gone does not count.
 */
import { readdir, readFile, readlink, symlink, unlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { EncServerError } from '../errors.ts';
import { fileError } from './file-error.ts';

/** Locks that this process holds. */
const held = new Set<string>();
const TRIES_MAX = 3;
/** Index of a field of proc(5), counted after the name. */
const START_FIELD = 19;
const ENDING_TRIES_MAX = 100;
const ENDING_PAUSE_MS = 20;

/** Resolves to a function that releases the lock. Rejects with `FOLDER_LOCKED`, `FILE_ERROR`. */
export async function lockLog(keyFile: string): Promise<() => Promise<void>> {
  const path = `${keyFile}.lock`;
  // No await between the check and the entry.
  if (held.has(path)) throw taken(path);
  held.add(path);
  try {
    await take(path);
  } catch (thrown) {
    held.delete(path);
    throw fileError('cannot lock the audit log by', path, thrown);
  }
  return async () => {
    await unlink(path).catch(() => undefined);
    held.delete(path);
  };
}

async function take(path: string): Promise<void> {
  const mine = `${process.pid}-${await startOf(process.pid)}`;
  for (let tries = 1; ; tries++) {
    try {
      await symlink(mine, path);
      return;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST' || tries === TRIES_MAX) throw thrown;
    }
    if (await isLive(await readlink(path))) throw taken(path);
    await unlink(path);
  }
}

/** Whether a process other than this one is alive; in a container, every start has the same ID. */
async function isLive(owner: string): Promise<boolean> {
  const pid = Number(owner.split('-')[0]);
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    // It belongs to another user, but is alive.
    if ((thrown as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return owner === `${pid}-${await startOf(pid)}`;
}

/**
 * When a process began, in ticks since the machine did (proc(5)); empty if that is unknown, or if
 * the process has ended and only waits for its parent to notice.
 */
async function startOf(pid: number): Promise<string> {
  for (let tries = 1; ; tries++) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const facts = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (facts[0] !== 'Z' && facts[0] !== 'X') return facts[START_FIELD] ?? '';
    // Other threads of the process may still be in the middle of a write.
    const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
    if (threads.length <= 1 || tries === ENDING_TRIES_MAX) return '';
    await sleep(ENDING_PAUSE_MS);
  }
}

function taken(path: string): EncServerError {
  const hint = `every server has an audit log of its own; if none runs, remove ${path}`;
  return new EncServerError('FOLDER_LOCKED', 'another server writes this audit log', { hint });
}
