/** Reads a backup: to verify it, or to put everything back. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { BeClient, type BeClientOptions } from '../be/client.ts';
import { TABLES, type Told } from '../be/copy.ts';
import { openStream } from '../crypto/stream.ts';
import { EncServerError, orUndefined } from '../errors.ts';
import { ALWAYS, IF_ABSENT } from '../store/store.ts';
import { isOver, LargestItem, wellFormed } from './check-items.ts';
import {
  ALTERED_HINT,
  type BackupHeader,
  decodeHeader,
  decodeItems,
  type ReadItem,
  streamKeyOf,
} from './format.ts';
import { groupsOf } from './groups.ts';
import { type BackupSecret, backupKeyOf } from './keys.ts';

export interface Verified {
  readonly header: BackupHeader;
  readonly items: number;
  /** How many of them have expired since. */
  readonly ended: number;
  /** SHA-256 over the items, in hexadecimal digits. */
  readonly digest: string;
}

const LINE_FEED = 0x0a;
const HEADER_BYTES_MAX = 4_096;

/**
 * Reads a backup to its end. Rejects with `WRONG_KEY`, `ALTERED`, `INVALID_RECORD` if the file is
 * not a backup, `FILE_ERROR`.
 */
export async function verifyBackup(
  path: string,
  secret: BackupSecret,
  told: Told,
): Promise<Verified> {
  return await readWhole(path, secret, told, () => undefined);
}

async function readWhole(
  path: string,
  secret: BackupSecret,
  told: Told,
  see: (item: ReadItem, number: number) => void,
): Promise<Verified> {
  const { header, items } = await openBackup(path, secret);
  const hash = createHash('sha256');
  let [count, ended] = [0, 0];
  for await (const item of items) {
    hash.update(item.encoded);
    count++;
    see(item, count);
    if (isOver(item)) ended++;
    told(count, count);
  }
  return { header, items: count, ended, digest: hash.digest('hex') };
}

export interface Restored {
  readonly restored: number;
  /** Left out because they had expired. */
  readonly ended: number;
}

/**
 * Restores a backup. It is read to its end before anything is written. Rejects with `CONFLICT` if
 * the store is not empty, unless its content may be replaced, and if something was written to an
 * item's place meanwhile: that stays, and the rest is restored; `KEYRING_MISMATCH` if the store
 * belongs to another keyring; `RECORD_TOO_LARGE` if the back end does not take an item; and as {@link verifyBackup} does.
 */
export async function restoreBackup(
  path: string,
  secret: BackupSecret,
  link: BeClientOptions,
  overwrites: boolean,
  told: Told,
): Promise<Restored> {
  const largest = new LargestItem();
  const { header, items: all } = await readWhole(path, secret, () => undefined, largest.see);
  const { keyring, epoch } = header;
  const facts =
    keyring === undefined || epoch === undefined
      ? undefined
      : { keyringId: Buffer.from(keyring, 'hex'), epoch };
  await asking(link, async (be) => {
    largest.refuseIfAbove(await be.askRecordBytesMax());
    if (!overwrites) await refuseUnlessEmpty(be);
  });
  const client = new BeClient({ ...link, ...(facts && { keyring: async () => facts }) });
  try {
    const { items } = await openBackup(path, secret);
    const condition = overwrites ? ALWAYS : IF_ABSENT;
    let [restored, ended, conflicts] = [0, 0, 0];
    for await (const some of groupsOf(items, ({ body }) => body.length)) {
      const living = some.filter((item) => !isOver(item));
      const puts = await Promise.all(
        living.map(({ key, ...value }) =>
          orUndefined(client.put(key, value, condition), 'CONFLICT'),
        ),
      );
      const left = puts.filter((put) => put === undefined).length;
      restored += living.length - left;
      ended += some.length - living.length;
      conflicts += left;
      told(restored + ended + conflicts, all);
    }
    if (conflicts > 0) throw cameMeanwhile(restored, conflicts);
    return { restored, ended };
  } finally {
    client.close();
  }
}

interface OpenBackup {
  readonly header: BackupHeader;
  readonly items: AsyncGenerator<ReadItem>;
}

async function openBackup(path: string, secret: BackupSecret): Promise<OpenBackup> {
  const file = readParts(path);
  const { headerBytes, rest } = await takeHeader(file);
  const header = decodeHeader(headerBytes);
  const key = streamKeyOf(await backupKeyOf(secret, header), headerBytes);
  const chunks = withFirstChunkProven(openStream(key, rest));
  return { header, items: wellFormed(decodeItems(chunks)) };
}

/** If the first chunk does not open, most likely the key is wrong; or the header was changed. */
async function* withFirstChunkProven(chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let isProven = false;
  try {
    for await (const chunk of chunks) {
      isProven = true;
      yield chunk;
    }
  } catch (cause) {
    if (!(cause instanceof EncServerError) || cause.code !== 'ALTERED') throw cause;
    if (isProven) throw new EncServerError('ALTERED', cause.message, { hint: ALTERED_HINT, cause });
    const words = 'the key does not open the backup, or its beginning was changed';
    const hint = 'look whether it is the backup key of that time; see docs/BACKUP.md';
    throw new EncServerError('WRONG_KEY', words, { hint, cause });
  }
}

async function* readParts(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const part of createReadStream(path)) yield part as Buffer;
  } catch (cause) {
    if (cause instanceof EncServerError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    throw new EncServerError('FILE_ERROR', `cannot read ${path} (${code})`, { cause });
  }
}

/** The two lines at the beginning, and what follows them. */
async function takeHeader(file: AsyncGenerator<Buffer>) {
  let bytes: Buffer = Buffer.alloc(0);
  let end = -1;
  while (end < 0) {
    const next = await file.next();
    if (next.done === true || bytes.length > HEADER_BYTES_MAX) {
      throw new EncServerError('INVALID_RECORD', 'the file is no backup', {
        hint: 'name a file that enc-server backup has made',
      });
    }
    bytes = Buffer.concat([bytes, next.value]);
    end = bytes.indexOf(LINE_FEED, bytes.indexOf(LINE_FEED) + 1);
    if (bytes.indexOf(LINE_FEED) < 0) end = -1;
  }
  const first = bytes.subarray(end + 1);
  async function* rest() {
    yield first;
    yield* file;
  }
  return { headerBytes: bytes.subarray(0, end + 1), rest: rest() };
}

function cameMeanwhile(restored: number, conflicts: number): EncServerError {
  const words = `restored ${restored} items, and left out ${conflicts}, as something was written there meanwhile`;
  const hint = 'what was written stays; to replace it, restore again with --overwrite';
  return new EncServerError('CONFLICT', words, { hint });
}

/**
 * Asks without naming a keyring: a store takes the first one that greets it for its own, and a
 * store that is refused must stay what it was.
 */
async function asking(link: BeClientOptions, ask: (be: BeClient) => Promise<void>): Promise<void> {
  const be = new BeClient(link);
  try {
    await ask(be);
  } finally {
    be.close();
  }
}

async function refuseUnlessEmpty(be: BeClient): Promise<void> {
  const snapshot = await be.openSnapshot();
  try {
    for (const table of TABLES) {
      const { items } = await snapshot.scan(Buffer.of(table), undefined, 1);
      if (items.length === 0) continue;
      const hint = 'restore into an empty store, or add --overwrite: what is there is replaced';
      throw new EncServerError('CONFLICT', 'the store is not empty', { hint });
    }
  } finally {
    await snapshot.close().catch(() => undefined);
  }
}
