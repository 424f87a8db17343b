/**
 * One writer per audit log: two would fork its chain. A lock is held beside the key, whose state
 * both would write, and beside the log, which servers with different keys could be given.
 */
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { withFileLock } from '../secret-file.ts';
import { holdSocket } from '../socket-lock.ts';

type Unlock = () => Promise<void>;

/** Resolves to a function that releases it. Rejects with `FOLDER_LOCKED`, `CONFLICT`, `FILE_ERROR`. */
export async function lockLog(keyFile: string, path: string): Promise<Unlock> {
  const unlockKey = await take(`${keyFile}.sock`);
  try {
    const unlockPath = await take(`${path}.sock`);
    return async () => {
      await unlockPath();
      await unlockKey();
    };
  } catch (thrown) {
    await unlockKey();
    throw thrown;
  }
}

async function take(path: string): Promise<Unlock> {
  let unlock: Unlock | undefined;
  try {
    // One at a time: whoever finds a dead socket must not remove one that has just replaced it.
    unlock = await withFileLock(path, () => holdSocket(path));
  } catch (thrown) {
    throw fileError('cannot lock the audit log by', path, thrown);
  }
  if (unlock !== undefined) return unlock;
  const hint = 'every server has an audit log, and an audit key, of its own';
  throw new EncServerError('FOLDER_LOCKED', `another server writes this audit log: ${path}`, {
    hint,
  });
}
