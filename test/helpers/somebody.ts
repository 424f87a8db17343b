/** Root may do everything: what others may not is tested as somebody else. */
import { chown } from 'node:fs/promises';

const SOMEBODY = 1234;

/** Does `work` in this process, as somebody else if root runs it. */
export async function notAsRoot<T>(work: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(SOMEBODY);
  try {
    return await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

/** Gives files of root to whom {@link notAsRoot} works as. */
export async function giveAway(...paths: string[]): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  for (const path of paths) await chown(path, SOMEBODY, SOMEBODY);
}
