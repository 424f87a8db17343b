/**
 * The keyring in its file. It is made once, completely or not at all, and changed only to its next
 * state: without it, no record can be found any more.
 */

import { type FileHandle, link, mkdir, open, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { syncFolder, writeSynced } from '../durable-file.ts';
import { EncServerError, errnoOf } from '../errors.ts';
import { othersMayUse, replaceFile, withFileLock } from '../secret-file.ts';
import {
  decodeKeyring,
  encodeKeyring,
  KEYRING_ID_BYTES,
  type Keyring,
  parseKeyringFile,
} from './keyring-file.ts';
import {
  drawProviderKey,
  type KeyringMeans,
  kindOf,
  openProviderKey,
  type ProviderKind,
} from './providers/provider.ts';
import { randomBytesPooled, randomKey } from './random.ts';
import { decodeSealedKeyring, encodeSealedKeyring, openSealedKeyring } from './sealed-keyring.ts';

export type { EntryState, Keyring, KeyringEntry } from './keyring-file.ts';
export type { KeyringMeans, ProviderKind } from './providers/provider.ts';

/** A keyring, and how its secrets lie in its file. */
interface Loaded {
  readonly keyring: Keyring;
  readonly kind: ProviderKind;
}

const FILE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Makes a keyring with one entry of each kind and writes it to a new file (0600), in a folder that
 * is made if missing (0700). When it resolves, the file is on disk. Its secrets are sealed if there
 * are means for that.
 *
 * @throws EncServerError `CONFLICT` if there is a file of that name; it is left alone
 * @throws EncServerError `FILE_ERROR` if the file cannot be written
 * @throws EncServerError `UNAVAILABLE`, `KEYRING_LOCKED` as the key service says
 */
export async function createKeyring(path: string, means: KeyringMeans = {}): Promise<Keyring> {
  const keyring: Keyring = {
    keyringId: randomBytesPooled(KEYRING_ID_BYTES),
    epoch: 1,
    entries: [{ number: 1, state: 'active', secret: randomKey() }],
    wrapEntries: [{ number: 1, state: 'active', secret: randomKey() }],
  };
  const bytes = await encodeFor(keyring, kindOf(means), means);
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
 * @throws EncServerError `KEYRING_UNSAFE` if group or others have any permission on the file
 * @throws EncServerError `KEYRING_DAMAGED` if it is cut short, malformed, changed, or of an unknown
 *   version
 * @throws EncServerError `KEYRING_LOCKED` if its secrets are sealed, and the means to open them are
 *   missing or wrong
 * @throws EncServerError `UNAVAILABLE` if the key service is away
 * @throws EncServerError `FILE_ERROR` if it cannot be read
 */
export async function loadKeyring(
  path: string,
  means: KeyringMeans = {},
): Promise<Keyring | undefined> {
  return (await load(path, means))?.keyring;
}

async function load(path: string, means: KeyringMeans): Promise<Loaded | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw fileError('the keyring file cannot be opened', thrown);
  }
  try {
    return await readFrom(file, means);
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    throw fileError('the keyring file cannot be read', thrown);
  } finally {
    await file.close();
  }
}

/**
 * Changes the keyring in its file. When it resolves, the change is on disk; two commands that
 * change it at once take turns.
 *
 * @param change makes the next state from the one that is there; its epoch only grows
 * @throws EncServerError `KEYRING_MISSING`, `CONFLICT` when another command holds the file,
 *   `FILE_ERROR`, and as {@link loadKeyring} and `change` do
 */
export async function updateKeyring(
  path: string,
  change: (keyring: Keyring) => Keyring,
  means: KeyringMeans = {},
): Promise<Keyring> {
  return await rewrite(
    path,
    means,
    (known) => ({ ...known, keyring: change(known.keyring) }),
    means,
  );
}

/**
 * Seals the secrets of a keyring another way; everything else stays, its epoch included.
 *
 * @param means what opens the file as it is
 * @param newMeans what will open it
 * @throws as {@link updateKeyring}
 */
export async function changeProvider(
  path: string,
  means: KeyringMeans,
  kind: ProviderKind,
  newMeans: KeyringMeans,
): Promise<Keyring> {
  return await rewrite(path, means, ({ keyring }) => ({ keyring, kind }), newMeans);
}

async function rewrite(
  path: string,
  means: KeyringMeans,
  change: (known: Loaded) => Loaded,
  newMeans: KeyringMeans,
): Promise<Keyring> {
  try {
    return await withFileLock(path, async () => {
      const known = await load(path, means);
      if (known === undefined) throw new EncServerError('KEYRING_MISSING', `no keyring ${path}`);
      const { keyring, kind } = change(known);
      if (keyring.epoch < known.keyring.epoch) {
        throw new EncServerError('INTERNAL', 'the epoch went back');
      }
      const bytes = await encodeFor(keyring, kind, newMeans);
      await replaceFile(path, bytes).finally(() => bytes.fill(0));
      return keyring;
    });
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    throw fileError('the keyring file cannot be written', thrown);
  }
}

/** The bytes of the file; to be wiped after use. */
async function encodeFor(
  keyring: Keyring,
  kind: ProviderKind,
  means: KeyringMeans,
): Promise<Buffer> {
  if (kind === 'file') return encodeKeyring(keyring);
  const { key, how } = await drawProviderKey(kind, means);
  try {
    return encodeSealedKeyring(keyring, kind, how, key);
  } finally {
    key.fill(0);
  }
}

/** Checks the open file, as its name could come to mean another one in between. */
async function readFrom(file: FileHandle, means: KeyringMeans): Promise<Loaded> {
  const status = await file.stat();
  if (!status.isFile()) throw new EncServerError('FILE_ERROR', 'the keyring is not a file');
  if (othersMayUse(status)) {
    throw new EncServerError('KEYRING_UNSAFE', 'others than its owner may use the keyring file');
  }
  if (status.size > FILE_BYTES_MAX) {
    throw new EncServerError('KEYRING_DAMAGED', 'the file is too large for a keyring');
  }
  const bytes = await file.readFile();
  try {
    const members = parseKeyringFile(bytes);
    if (members['provider'] === 'file') return { keyring: decodeKeyring(bytes), kind: 'file' };
    const sealed = decodeSealedKeyring(members);
    const key = await openProviderKey(sealed.kind, sealed.how, means);
    try {
      return { keyring: openSealedKeyring(sealed, key), kind: sealed.kind };
    } finally {
      key.fill(0);
    }
  } finally {
    bytes.fill(0);
  }
}

/**
 * Writes to a temporary file, then links: the name appears with the complete content or not at all,
 * and unlike a rename, a link never replaces a keyring that someone else made first.
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

/** A new name is on disk once its folder is; the same holds for folders created for it. */
async function syncFolders(from: string, upTo: string): Promise<void> {
  for (let folder = from; ; folder = dirname(folder)) {
    await syncFolder(folder);
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
