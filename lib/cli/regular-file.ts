/** Files that a command reads twice, or goes on with later: neither a pipe nor a device can be. */
import { stat } from 'node:fs/promises';
import { EncServerError } from '../errors.ts';

/**
 * Rejects with `FILE_ERROR` for what is there and is no regular file; opens nothing, which would
 * wait for the other end of a pipe. Whoever opens the path tells what else is wrong with it.
 */
export async function requireRegularFile(path: string, hint: string): Promise<void> {
  const status = await stat(path).catch(() => undefined);
  if (status === undefined || status.isFile()) return;
  throw new EncServerError('FILE_ERROR', `${path} is no regular file`, { hint });
}
