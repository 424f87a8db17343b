/** Where a record goes: standard output, or a file that it replaces once it is on disk. */
import { randomBytes } from 'node:crypto';
import {
  access,
  constants,
  open,
  realpath,
  rename,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../durable-file.ts';
import type { ClientSetting } from './client-flags.ts';
import { fileError, note, print, usage } from './terminal.ts';

export interface RecordFile {
  /** Rejects with `FILE_ERROR`; then the file is what it was. */
  write(record: Buffer): Promise<void>;
  /** For a record that does not come. */
  drop(): Promise<void>;
}

/**
 * Finds out whether a file can be written before its record is asked for. Rejects with
 * `FILE_ERROR`.
 */
export async function openRecordFile(path: string): Promise<RecordFile> {
  const failed = (cause: unknown) => fileError('cannot write', path, cause);
  const known = await stat(path).catch(() => undefined);
  if (known?.isDirectory()) throw failed(Object.assign(new Error(), { code: 'EISDIR' }));
  if (known !== undefined && !known.isFile()) return directFile(path, failed);
  try {
    if (known !== undefined) await access(path, constants.W_OK);
    return await asideFile(known === undefined ? path : await realpath(path), failed);
  } catch (cause) {
    throw failed(cause);
  }
}

/** Not opened before: the reader of a pipe would take this end of file for the final one. */
function directFile(path: string, failed: (cause: unknown) => Error): RecordFile {
  return {
    async write(record) {
      await writeFile(path, record).catch((cause) => {
        throw failed(cause);
      });
    },
    drop: async () => undefined,
  };
}

/** What was there before is gone only when the record is complete on disk. */
async function asideFile(path: string, failed: (cause: unknown) => Error): Promise<RecordFile> {
  const aside = join(dirname(path), `.enc-${randomBytes(8).toString('hex')}.part`);
  // Decrypted content is readable by its owner only.
  const file = await open(aside, 'wx', 0o600);
  const drop = async () => {
    await file.close().catch(() => undefined);
    await unlink(aside).catch(() => undefined);
  };
  return {
    async write(record) {
      try {
        await file.writeFile(record);
        await file.sync();
        await file.close();
        await rename(aside, path);
        await syncFolder(dirname(path));
      } catch (cause) {
        await drop();
        throw failed(cause);
      }
    },
    drop,
  };
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
