/** Where a record goes: standard output, a file that is there, or one that is made. */
import { randomBytes } from 'node:crypto';
import { fstatSync, type Stats, writeFile as writeDescriptor } from 'node:fs';
import {
  constants,
  type FileHandle,
  open,
  realpath,
  rename,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { giveTo, syncFolder, writeAt } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { realPathOf } from '../secret-file.ts';
import type { ClientSetting } from './client-flags.ts';
import { removeAtSignal } from './signals.ts';
import { deliver, note, print, usage } from './terminal.ts';

export interface RecordFile {
  /** Rejects with `FILE_ERROR`. */
  write(record: Buffer): Promise<void>;
  /** For a record that does not come: then the file is what it was. */
  drop(): Promise<void>;
}

/**
 * Finds out whether a file can be written before its record is asked for. Rejects with
 * `FILE_ERROR`.
 */
export async function openRecordFile(path: string): Promise<RecordFile> {
  const failed = (cause: unknown) => {
    throw cause instanceof EncServerError ? cause : fileError('cannot write', path, cause);
  };
  const way = await wayTo(path).catch(failed);
  return { write: (record) => way.write(record).catch(failed), drop: way.drop };
}

async function wayTo(path: string): Promise<RecordFile> {
  const descriptor = descriptorOf(path);
  if (descriptor !== undefined) return openedFile(path, descriptor);
  const known = await stat(path).catch(() => undefined);
  if (known === undefined) return await newFile(await realPathOf(path));
  if (known.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
  return known.isFile() ? await knownFile(path) : directFile(path);
}

/** The number in a name such as `/dev/stdout` or `/proc/self/fd/3`. */
function descriptorOf(path: string): number | undefined {
  if (path === '/dev/stdout') return 1;
  if (path === '/dev/stderr') return 2;
  const [, digits] = /^\/(?:dev|proc\/self)\/fd\/(\d{1,9})$/.exec(path) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** What is open already is written on from where it stands, as a shell's `>&3` does. */
function openedFile(path: string, descriptor: number): RecordFile {
  const drop = async () => undefined;
  if (descriptor === 1) return { write: deliver, drop };
  if (!fstatSync(descriptor).isFile()) return directFile(path);
  return { write: (record) => promisify(writeDescriptor)(descriptor, record), drop };
}

/** Not opened before: the reader of a pipe would take this end of file for the final one. */
function directFile(path: string): RecordFile {
  return { write: (record) => writeFile(path, record), drop: async () => undefined };
}

/**
 * Replaced by a whole one, so that neither a power cut nor a failure leaves half of a record; where
 * that would not be the same file to others, it is written in place. Whoever may not write it may
 * not replace it either, so it is opened anyway.
 */
async function knownFile(path: string): Promise<RecordFile> {
  const file = await open(path, constants.O_WRONLY);
  const known = await file.stat();
  const inPlace = placedFile(file, known.size);
  const whole = await replacement(path, known).catch(() => undefined);
  if (whole === undefined) return inPlace;
  return {
    async write(record) {
      try {
        await whole.write(record);
      } catch (cause) {
        if (mayFitInPlace(cause)) return inPlace.write(record);
        await inPlace.drop();
        throw cause;
      }
      await inPlace.drop();
    },
    async drop() {
      await whole.drop();
      await inPlace.drop();
    },
  };
}

/** A file that is a mount of its own cannot be replaced; nor one that leaves no room for another. */
function mayFitInPlace(cause: unknown): boolean {
  const { syscall, code = '' } = cause as NodeJS.ErrnoException;
  return syscall === 'rename' || code === 'ENOSPC' || code === 'EDQUOT';
}

/**
 * Undefined where a new file would not be the same: one with other names, one that the path leads
 * to only through a process that has it open, one that may have an access control list. Node cannot
 * read such a list, and its mask stands in the place of the group's permissions: as a mode they
 * could let the group read the record.
 */
async function replacement(path: string, known: Stats): Promise<RecordFile | undefined> {
  const real = await realpath(path);
  const { dev, ino } = await stat(real);
  const isThere = dev === known.dev && ino === known.ino;
  const mayHaveList = ((known.mode >> 3) & ~known.mode & 0o7) !== 0;
  if (!isThere || known.nlink !== 1 || mayHaveList) return undefined;
  return await newFile(real, known);
}

/** Its owner, mode, links and mount stay. It is what it was until the record is there. */
function placedFile(file: FileHandle, size: number): RecordFile {
  return {
    async write(record) {
      try {
        await overwrite(file, record, size);
        await file.sync();
      } finally {
        await file.close();
      }
    },
    drop: () => file.close(),
  };
}

/** What makes the file longer goes first: a full disk then leaves it as it was. */
async function overwrite(file: FileHandle, record: Buffer, size: number): Promise<void> {
  try {
    await writeAt(file, record.subarray(size), size);
  } catch (thrown) {
    await file.truncate(size);
    throw thrown;
  }
  await writeAt(file, record.subarray(0, size), 0);
  await file.truncate(record.length);
}

/**
 * The name appears only when the record is complete on disk.
 *
 * @param known the file that has the name now
 */
async function newFile(path: string, known?: Stats): Promise<RecordFile> {
  const aside = join(dirname(path), `.enc-${randomBytes(8).toString('hex')}.part`);
  // Decrypted content is readable by its owner only.
  const stopCleaning = removeAtSignal(aside);
  const file = await open(aside, 'wx', 0o600).catch((cause) => {
    stopCleaning();
    throw cause;
  });
  const drop = async () => {
    await file.close().catch(() => undefined);
    await unlink(aside).catch(() => undefined);
    stopCleaning();
  };
  if (known !== undefined) {
    await takeAfter(known, file).catch(async (cause) => {
      await drop();
      throw cause;
    });
  }
  return {
    async write(record) {
      try {
        await file.writeFile(record);
        await file.sync();
        await file.close();
        await rename(aside, path);
        stopCleaning();
      } catch (cause) {
        await drop();
        throw cause;
      }
      // The record is there; a folder that may not be read cannot be synced.
      await syncFolder(dirname(path)).catch(() => undefined);
    },
    drop,
  };
}

/** The mode comes last: the system takes some of its bits away when the owner changes. */
async function takeAfter(known: Stats, file: FileHandle): Promise<void> {
  await giveTo(known, file);
  await file.chmod(known.mode & 0o7777);
}

/**
 * Writes a record to its file or standard output; under `--json` facts, and the record if it has no
 * file. A record that could be read this once goes to standard output if its file takes it not.
 */
export async function tellRecord(
  record: Buffer,
  file: RecordFile | undefined,
  { json, result }: ClientSetting,
  facts: Record<string, unknown>,
): Promise<void> {
  const isOnlyTime = facts['once'] === true;
  const show = async () => {
    if (json) await result('', { ...facts, record64: record.toString('base64') });
    else await printRecord(record, isOnlyTime);
  };
  if (file === undefined) return await show();
  try {
    await file.write(record);
  } catch (error) {
    if (isOnlyTime) {
      note('the record could be read this once; its file cannot be written, so here it is');
      await show();
    }
    throw error;
  }
  if (json) await result('', facts);
}

/** A terminal gets text only. */
async function printRecord(record: Buffer, isOnlyTime: boolean): Promise<void> {
  if (process.stdout.isTTY && !isText(record)) {
    if (isOnlyTime) {
      note('the record is binary, and could be read this once; here it is in base64');
      await print(`${record.toString('base64')}\n`);
      return;
    }
    throw usage('the record is binary', 'write it to a file with --out, or into a pipe');
  }
  await print(record);
  if (process.stdout.isTTY && record.at(-1) !== 0x0a) await print('\n');
}

/** Whether a terminal can show the bytes without harm: UTF-8 without control characters. */
export function isText(bytes: Buffer): boolean {
  const text = bytes.toString('utf8');
  // A lone carriage return could hide what is before it.
  const shown = text.replaceAll('\r\n', '\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
  return Buffer.from(text, 'utf8').equals(bytes) && !/[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(shown);
}
