/** Where files are by default. */

import { userInfo } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EncServerError } from '../errors.ts';

/** Our folder inside the one where programs keep their state. */
const FOLDER = 'enc-server-ts';

/** The configuration file that comes with the package, seen from `dist/lib/config/`. */
export const PACKAGED_CONFIG = fileURLToPath(
  new URL('../../../config/config.json', import.meta.url),
);

/**
 * The default data folder: `enc-server-ts` under `XDG_STATE_HOME`, else under `~/.local/state`. A
 * relative `XDG_STATE_HOME` is ignored (XDG Base Directory Specification 0.8), and so is a `HOME`.
 * @throws EncServerError `BAD_CONFIG` if there is no home folder either.
 */
export function stateFolder(env: NodeJS.ProcessEnv): string {
  const given = env['XDG_STATE_HOME'];
  if (given !== undefined && isAbsolute(given)) return join(given, FOLDER);
  return join(homeFolder(env), '.local', 'state', FOLDER);
}

/** The file of the keyring in a data folder. */
export function keyringFile(dataDir: string): string {
  return join(dataDir, 'fe', 'keyring.json');
}

/** The file of one server's access tokens in a data folder; never in the store's own folder. */
export function tokensFile(dataDir: string, role: 'fe' | 'be'): string {
  return join(dataDir, `${role}-tokens.json`);
}

/**
 * An absolute path. A leading `~/` is the home folder, since no shell expands a file's contents.
 */
export function absolutePath(path: string, env: NodeJS.ProcessEnv): string {
  return path === '~' || path.startsWith('~/')
    ? join(homeFolder(env), path.slice(1))
    : resolve(path);
}

function homeFolder(env: NodeJS.ProcessEnv): string {
  const given = env['HOME'];
  if (given !== undefined && isAbsolute(given)) return given;
  let cause: unknown;
  try {
    // Not `homedir()`: that is HOME again, however empty, and the folder would be the current one.
    const { homedir } = userInfo();
    if (isAbsolute(homedir)) return homedir;
  } catch (thrown) {
    cause = thrown;
  }
  const hint = 'set HOME or XDG_STATE_HOME, or name every folder (dataDir)';
  throw new EncServerError('BAD_CONFIG', 'this user has no home folder', { hint, cause });
}
