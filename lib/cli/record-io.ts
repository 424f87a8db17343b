/**
 * Moves records and keys between files, pipes and the command line; keys as bytes, never strings.
 */
import { createReadStream } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder, writeSynced } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { decodeHexKey, encodeHex } from '../protocol/hex.ts';
import { FRAME_BYTES_CEILING } from '../protocol/limits.ts';
import { checkUtf8 } from './command-line.ts';
import { deliver, note, usage } from './terminal.ts';

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
 * Rejects with `FILE_ERROR`.
 */
export async function readBytes(
  path: string | undefined,
  bytesMax: number,
): Promise<Buffer | undefined> {
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
