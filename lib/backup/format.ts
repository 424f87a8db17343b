/**
 * The file of a backup: `docs/BACKUP.md`, "The file". A line that says what it is, a line of JSON
 * that says how its key is made, then a stream sealed under that key: the items, and at the end
 * their number.
 */
import { createHash } from 'node:crypto';
import { deriveKey } from '../crypto/kdf.ts';
import { EncServerError } from '../errors.ts';
import { ByteQueue } from '../protocol/byte-queue.ts';
import { EXPIRY_MS_MAX } from '../protocol/expiry.ts';

const MAGIC = 'enc-server-ts backup v1';
const LABEL = 'enc-server-ts backup v1';
const ENCRYPTION_KEY_BYTES = 32;
const [ITEM, END] = [1, 2];
/** Type, key length, head length, revision, expiry, body length. */
const ITEM_HEADER_BYTES = 1 + 2 + 2 + 8 + 8 + 4;
const END_BYTES = 1 + 8;
/** For a backup that is not what was written. */
export const ALTERED_HINT =
  'the file was changed or cut; take another copy of it, or another backup';

/** What can be known of a backup without its key. */
export interface BackupHeader {
  /** When it was begun, in milliseconds since 1970 (UTC). */
  readonly madeAtMs: number;
  /** The keyring that the store belongs to, in hexadecimal digits, and its epoch; or none yet. */
  readonly keyring: string | undefined;
  readonly epoch: number | undefined;
  /** `level`, `mongo`, `memory`; or `unknown`, where the store could not say. */
  readonly store: string;
  /** Whether it is known to show a single moment. */
  readonly isOneMoment: boolean;
  /** 32 random bytes in hexadecimal digits, so that the stream key belongs to this file only. */
  readonly salt: string;
  /** How the backup key is derived from a passphrase (scrypt); absent for a key file. */
  readonly scrypt?: Readonly<Record<string, string | number>>;
}

/** One stored value, with its key. */
export interface BackupItem {
  readonly key: Buffer;
  readonly head: Buffer;
  /** 8 bytes. */
  readonly revision: Buffer;
  readonly expiryMs: number;
  readonly body: Buffer;
}

/** An item that was read. */
export interface ReadItem extends BackupItem {
  /** The whole item, as {@link encodeItem} made it. */
  readonly encoded: Buffer;
}

/** Both header lines. */
export function encodeHeader(header: BackupHeader): Buffer {
  return Buffer.from(`${MAGIC}\n${JSON.stringify(header)}\n`);
}

/** @throws EncServerError `INVALID_RECORD` if it is not a backup, or of a newer release */
export function decodeHeader(lines: Buffer): BackupHeader {
  const [magic, json = '', ...rest] = lines.toString('utf8').split('\n');
  if (magic !== MAGIC) {
    const isOurs = magic?.startsWith('enc-server-ts backup ');
    throw noBackup(isOurs ? 'the backup is of a newer release' : 'the file is no backup');
  }
  try {
    const header = JSON.parse(json) as BackupHeader;
    if (rest.length === 1 && isWhole(header)) return header;
  } catch {
    // Reported below.
  }
  throw noBackup('the header of the backup is malformed');
}

/** The types are what the file should have, not what it must have. */
function isWhole({ madeAtMs, keyring, epoch, store, salt }: BackupHeader): boolean {
  const isTime = Number.isInteger(madeAtMs) && madeAtMs >= 0 && madeAtMs <= EXPIRY_MS_MAX;
  const isOfKeyring =
    keyring === undefined ? epoch === undefined : /^[0-9a-f]{32}$/.test(keyring) && isEpoch(epoch);
  return isTime && isOfKeyring && typeof store === 'string' && /^[0-9a-f]{64}$/.test(salt);
}

function isEpoch(epoch = 0): boolean {
  return Number.isInteger(epoch) && epoch >= 1 && epoch <= 0xffff_ffff;
}

/**
 * The key of the stream: derived from the backup key and the whole header, so that nothing opens
 * under a changed header. 32 bytes.
 *
 * @param backupKey 32 bytes
 */
export function streamKeyOf(backupKey: Buffer, headerBytes: Buffer): Buffer {
  const context = createHash('sha256').update(headerBytes).digest();
  return deriveKey(backupKey, LABEL, context).subarray(0, ENCRYPTION_KEY_BYTES);
}

export function encodeItem({ key, head, revision, expiryMs, body }: BackupItem): Buffer {
  const header = Buffer.alloc(ITEM_HEADER_BYTES);
  header[0] = ITEM;
  header.writeUInt16BE(key.length, 1);
  header.writeUInt16BE(head.length, 3);
  revision.copy(header, 5);
  header.writeBigUInt64BE(BigInt(expiryMs), 13);
  header.writeUInt32BE(body.length, 21);
  return Buffer.concat([header, key, head, body]);
}

export function encodeEnd(items: number): Buffer {
  const end = Buffer.alloc(END_BYTES);
  end[0] = END;
  end.writeBigUInt64BE(BigInt(items), 1);
  return end;
}

/**
 * The items of a text that arrives piece by piece.
 *
 * @throws EncServerError `ALTERED` if it is malformed, or its count is wrong
 */
export async function* decodeItems(text: AsyncIterable<Buffer>): AsyncGenerator<ReadItem> {
  const queue = new ByteQueue();
  let items = 0;
  let isEnded = false;
  for await (const part of text) {
    queue.push(part);
    for (let next = takeNext(queue); next !== undefined; next = takeNext(queue)) {
      if (isEnded) throw broken();
      if (typeof next === 'number') {
        if (next !== items) throw broken();
        isEnded = true;
      } else {
        items++;
        yield next;
      }
    }
  }
  if (!isEnded || queue.bytes > 0) throw broken();
}

/** The next item, or the count at the end; undefined until it is complete. */
function takeNext(queue: ByteQueue): ReadItem | number | undefined {
  if (queue.bytes === 0) return undefined;
  const [type] = queue.front();
  if (type === END) {
    return queue.bytes < END_BYTES ? undefined : Number(queue.take(END_BYTES).readBigUInt64BE(1));
  }
  if (type !== ITEM) throw broken();
  if (queue.bytes < ITEM_HEADER_BYTES) return undefined;
  const header = queue.peek(ITEM_HEADER_BYTES);
  const headAt = ITEM_HEADER_BYTES + header.readUInt16BE(1);
  const bodyAt = headAt + header.readUInt16BE(3);
  const end = bodyAt + header.readUInt32BE(21);
  if (queue.bytes < end) return undefined;
  const encoded = queue.take(end);
  return {
    encoded,
    key: encoded.subarray(ITEM_HEADER_BYTES, headAt),
    head: encoded.subarray(headAt, bodyAt),
    revision: encoded.subarray(5, 13),
    expiryMs: Number(encoded.readBigUInt64BE(13)),
    body: encoded.subarray(bodyAt),
  };
}

function broken(): EncServerError {
  return new EncServerError('ALTERED', 'the backup is not as it was written', {
    hint: ALTERED_HINT,
  });
}

function noBackup(words: string): EncServerError {
  return new EncServerError('INVALID_RECORD', words, { hint: 'see docs/BACKUP.md' });
}
