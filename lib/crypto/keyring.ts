/**
 * The keyring in its file. It is made once, whole or not at all, and changed only to its next
 * state: whoever loses it can find no record any more.
 */

import { type FileHandle, link, mkdir, open, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { EncServerError } from '../errors.ts';
import { replaceFile, withFileLock } from '../secret-file.ts';
import { decodeKeyring, encodeKeyring, type Keyring } from './keyring-file.ts';
import { randomBytesPooled, randomKey } from './random.ts';

export type { EntryState, Keyring, KeyringEntry } from './keyring-file.ts';

const KEYRING_ID_BYTES = 16;
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const GROUP_AND_OTHERS = 0o077;

/**
 * Makes a keyring with one entry of each kind and writes it to a new file (0600), in a folder
 * that is made when missing (0700). When it resolves, the file is on disk.
 *
 * @throws CONFLICT if there is a file of that name; it is left alone
 * @throws FILE_ERROR if the file cannot be written
 */
export async function createKeyring(path: string): Promise<Keyring> {
  const keyring: Keyring = {
    keyringId: randomBytesPooled(KEYRING_ID_BYTES),
    epoch: 1,
    entries: [{ number: 1, state: 'active', secret: randomKey() }],
    wrapEntries: [{ number: 1, state: 'active', secret: randomKey() }],
  };
  const bytes = encodeKeyring(keyring);
  try {
    await writeNew(resolve(path), bytes);
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    throw fileError('the keyring file cannot be written', thrown);
  } finally {
    bytes.fill(0);
  }
  return keyring;
}

/**
 * Reads a keyring.
 *
 * @returns undefined if there is no such file
 * @throws KEYRING_UNSAFE if group or others have any permission on the file
 * @throws KEYRING_DAMAGED if it is cut short, malformed, changed, or of an unknown version
 * @throws FILE_ERROR if it cannot be read
 */
export async function loadKeyring(path: string): Promise<Keyring | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw fileError('the keyring file cannot be opened', thrown);
  }
  try {
    return await readFrom(file);
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    throw fileError('the keyring file cannot be read', thrown);
  } finally {
    await file.close();
  }
}

/**
 * Changes the keyring in its file. When it resolves, the change is on disk; two commands that
 * change it at once do so one after the other.
 *
 * @param change makes the next state from the one that is there; its epoch only grows
 * @throws KEYRING_MISSING, CONFLICT when another command holds the file, FILE_ERROR, and as
 * {@link loadKeyring} and `change` do
 */
export async function updateKeyring(
  path: string,
  change: (keyring: Keyring) => Keyring,
): Promise<Keyring> {
  try {
    return await withFileLock(path, async () => {
      const known = await loadKeyring(path);
      if (known === undefined) throw new EncServerError('KEYRING_MISSING', `no keyring ${path}`);
      const keyring = change(known);
      if (keyring.epoch < known.epoch) throw new EncServerError('INTERNAL', 'the epoch went back');
      const bytes = encodeKeyring(keyring);
      await replaceFile(path, bytes).finally(() => bytes.fill(0));
      return keyring;
    });
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    throw fileError('the keyring file cannot be written', thrown);
  }
}

/** The open file is what is checked: its name could come to mean another one in between. */
async function readFrom(file: FileHandle): Promise<Keyring> {
  const status = await file.stat();
  if (!status.isFile()) throw new EncServerError('FILE_ERROR', 'the keyring is not a file');
  if ((status.mode & GROUP_AND_OTHERS) !== 0) {
    throw new EncServerError('KEYRING_UNSAFE', 'others than its owner may use the keyring file');
  }
  if (status.size > FILE_BYTES_MAX) {
    throw new EncServerError('KEYRING_DAMAGED', 'the file is too large for a keyring');
  }
  const bytes = await file.readFile();
  try {
    return decodeKeyring(bytes);
  } finally {
    bytes.fill(0);
  }
}

/**
 * Writes aside, then links: the name is there with the whole content or not at all, and unlike
 * a rename a link never replaces the keyring of someone who was faster.
 */
async function writeNew(path: string, bytes: Buffer): Promise<void> {
  const folder = dirname(path);
  const firstMade = await mkdir(folder, { recursive: true, mode: 0o700 });
  const unique = randomBytesPooled(8).toString('hex');
  const temporary = join(folder, `.${basename(path)}.${unique}.tmp`);
  try {
    await writeSynced(temporary, bytes);
    await linkNew(temporary, path);
  } finally {
    await unlink(temporary).catch(ignoreMissing);
  }
  await syncFolders(folder, firstMade === undefined ? folder : dirname(firstMade));
}

async function linkNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EEXIST') throw thrown;
    const hint = 'load the keyring that is there, or choose another file';
    throw new EncServerError('CONFLICT', 'there is a keyring file already', { hint });
  }
}

async function writeSynced(path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A new name is on disk once its folder is; so with folders that were made for it. */
async function syncFolders(from: string, upTo: string): Promise<void> {
  for (let folder = from; ; folder = dirname(folder)) {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (folder === upTo || folder === dirname(folder)) return;
  }
}

function ignoreMissing(thrown: unknown): void {
  if (errnoOf(thrown) !== 'ENOENT') throw thrown;
}

function fileError(message: string, thrown: unknown): EncServerError {
  const errno = errnoOf(thrown);
  const text = errno === undefined ? message : `${message} (${errno})`;
  return new EncServerError('FILE_ERROR', text, { cause: thrown });
}

function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
