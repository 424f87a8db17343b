/**
 * Moves records and keys between files, pipes and the command line; keys as bytes, never strings.
 */
import { createReadStream } from 'node:fs';
import { open, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder, writeSynced } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { decodeHexKey, encodeHex } from '../protocol/hex.ts';
import { FRAME_BYTES_CEILING } from '../protocol/limits.ts';
import type { ClientSetting } from './client-flags.ts';
import { checkUtf8 } from './command-line.ts';
import { deliver, fileError, note, print, usage } from './terminal.ts';

const LINE_FEED = Buffer.from('\n');
/** A key file holds 64 digits; a much longer one is the wrong file. */
const KEY_FILE_BYTES_MAX = 4096;

export interface RecordFlags {
  readonly record?: string;
  readonly file?: string;
}

export interface KeyFlags {
  /** 64 hexadecimal digits, or `-` for standard input. */
  readonly key?: string;
  readonly keyFile?: string;
}

/** Throws `USAGE`. */
export function checkRecordFlags(flags: RecordFlags): void {
  if (flags.record !== undefined && flags.file !== undefined) {
    throw usage('--record and --file exclude each other', 'leave one of them out');
  }
  checkUtf8('--record', flags.record, 'give such bytes with --file or on standard input');
}

/** Throws `USAGE`. */
export function checkKeyFlags(flags: KeyFlags): void {
  if (flags.key !== undefined && flags.keyFile !== undefined) {
    throw usage('--key and --key-file exclude each other', 'leave one of them out');
  }
}

/**
 * Writes a record to `out` or standard output; under `--json` facts, and the record if it has no
 * file.
 */
export async function tellRecord(
  record: Buffer,
  out: string | undefined,
  { json, result }: ClientSetting,
  facts: Record<string, unknown>,
): Promise<void> {
  if (!json || out !== undefined) await writeRecord(record, out, facts['once'] === true);
  const told = out === undefined ? { record64: record.toString('base64') } : {};
  if (json) await result('', { ...facts, ...told });
}

/** The whole record of `--record`, `--file` or standard input. Rejects with `RECORD_TOO_LARGE`. */
export async function readRecord(flags: RecordFlags): Promise<Buffer> {
  if (flags.record !== undefined) return Buffer.from(flags.record, 'utf8');
  if (flags.file === undefined && process.stdin.isTTY) {
    note('reading the record from standard input; end it with Ctrl-D');
  }
  const record = await readBytes(flags.file, FRAME_BYTES_CEILING);
  if (record !== undefined) return record;
  throw new EncServerError('RECORD_TOO_LARGE', 'the record is longer than any server takes');
}

/** As {@link readKey}; rejects with `USAGE` without a key. */
export async function requireKey(flags: KeyFlags): Promise<Buffer> {
  const key = await readKey(flags);
  if (key !== undefined) return key;
  throw usage('no key', 'give it with --key-file PATH, --key - or ENC_SERVER_TS_KEY');
}

/**
 * The key of `--key`, `--key-file` or ENC_SERVER_TS_KEY; undefined if there is none. Rejects with
 * `INVALID_KEY` or `FILE_ERROR`.
 */
export async function readKey(flags: KeyFlags): Promise<Buffer | undefined> {
  if (flags.keyFile !== undefined || flags.key === '-') {
    const text = await readBytes(flags.keyFile, KEY_FILE_BYTES_MAX);
    if (text === undefined) {
      throw new EncServerError('INVALID_KEY', 'what should be a key is longer than 4 KiB');
    }
    return parseKey(text);
  }
  // As everywhere in the environment, an empty variable counts as not set.
  const text = flags.key ?? (process.env['ENC_SERVER_TS_KEY'] || undefined);
  return text === undefined ? undefined : parseKey(Buffer.from(text, 'utf8'));
}

/** Writes a key as 64 hex digits; as {@link writeNewFile}. */
export async function writeKeyFile(path: string, key: Buffer): Promise<void> {
  await writeNewFile(path, Buffer.concat([encodeHex(key), LINE_FEED]));
}

/**
 * Writes a secret to a new file that only its owner can read, syncs it, and wipes the bytes.
 * Rejects with `FILE_ERROR`; then there is no new file.
 */
export async function writeNewFile(path: string, text: Buffer): Promise<void> {
  try {
    await writeSynced(path, text);
    await syncFolder(dirname(path)).catch(async (thrown: unknown) => {
      await removeKeyFile(path);
      throw thrown;
    });
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const hint = isThere ? 'choose another name: a secret is never overwritten' : undefined;
    throw fileError('cannot write', path, cause, hint);
  } finally {
    text.fill(0);
  }
}

export async function removeKeyFile(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
}

/** 64 hex digits and a line feed, alone on standard output. Rejects if nobody reads them. */
export async function printKey(key: Buffer): Promise<void> {
  const text = Buffer.concat([encodeHex(key), LINE_FEED]);
  try {
    await deliver(text);
  } finally {
    text.fill(0);
  }
}

/**
 * Finds out whether a file can be written before it is needed. Resolves to a function that removes
 * the file again if this made it. Rejects with `FILE_ERROR`.
 */
export async function prepareOut(path: string | undefined): Promise<() => Promise<void>> {
  const nothing = async () => undefined;
  if (path === undefined) return nothing;
  const known = await stat(path).catch(() => undefined);
  if (known?.isDirectory()) {
    throw fileError('cannot write', path, Object.assign(new Error(), { code: 'EISDIR' }));
  }
  // The reader of a pipe would take this end of file for the final one.
  if (known !== undefined && !known.isFile()) return nothing;
  try {
    await (await open(path, 'a', 0o600)).close();
  } catch (cause) {
    throw fileError('cannot write', path, cause);
  }
  return known === undefined ? () => removeKeyFile(path) : nothing;
}

/** Writes the record's bytes to `--out` or standard output; a terminal gets text only. */
export async function writeRecord(
  record: Buffer,
  out: string | undefined,
  isOnlyTime = false,
): Promise<void> {
  if (out !== undefined) {
    // Decrypted content is readable by its owner only.
    await writeFile(out, record, { mode: 0o600 }).catch((cause: unknown) => {
      throw fileError('cannot write', out, cause);
    });
    return;
  }
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

function parseKey(text: Buffer): Buffer {
  let end = text.length;
  while (end > 0 && (text[end - 1] === 0x0a || text[end - 1] === 0x0d)) end--;
  try {
    return decodeHexKey(text.subarray(0, end));
  } finally {
    text.fill(0);
  }
}

/**
 * Reads a file, or standard input if there is no path; undefined if it has more than `bytesMax`.
 */
async function readBytes(path: string | undefined, bytesMax: number): Promise<Buffer | undefined> {
  const stream = path === undefined ? process.stdin : createReadStream(path);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      // Leaving the loop closes the stream: /dev/zero has no end.
      if (bytes > bytesMax) return undefined;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw fileError('cannot read', path ?? 'standard input', cause);
  }
  return Buffer.concat(chunks, bytes);
}
