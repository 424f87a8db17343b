/** Files that outlast a power cut: content and name are on disk before anybody is told so. */
import { type FileHandle, open, unlink } from 'node:fs/promises';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Writes a new file; there must be none of that name, and no link. When it resolves, the content
 * is on disk, but the name only after {@link syncFolder}. When it rejects, there is no new file.
 */
export async function writeSynced(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
  owner?: Owner,
): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    try {
      if (owner !== undefined) await giveTo(owner, file);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (thrown) {
    await unlink(path).catch(() => undefined);
    throw thrown;
  }
}

/** Writes all of the bytes at a place in a file; the system may take fewer at once. */
export async function writeAt(file: FileHandle, bytes: Buffer, from: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, from + done);
    done += bytesWritten;
  }
}

/** Without this, a crash could forget which names a folder has. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A file that is that owner's already is left alone, as only root may give files away. */
export async function giveTo({ uid, gid }: Owner, file: FileHandle): Promise<void> {
  const made = await file.stat();
  if (made.uid !== uid || made.gid !== gid) await file.chown(uid, gid);
}
