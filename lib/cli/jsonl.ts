/** Files with one JSON object per line: records that are imported and exported, and their keys. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { checkName } from '../crypto/record-name.ts';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { isWellFormed } from '../protocol/bytes.ts';
import { FRAME_BYTES_CEILING } from '../protocol/limits.ts';
import { requireRegularFile } from './regular-file.ts';

const LINE_FEED = 0x0a;
/** No record that is accepted has so long a line, however much is escaped in it. */
const LINE_BYTES_MAX = 8 * FRAME_BYTES_CEILING;
/** Bytes read at once when looking for the end of a file. */
const TAIL_BYTES = 64 * 1024;

/** A name as written in a line: text if it is UTF-8, else base64. */
export interface LineName {
  readonly id: Buffer;
  readonly namespace: Buffer | undefined;
}

export type Members = Readonly<Record<string, unknown>>;

/** A line of a file. */
export interface NumberedLine {
  /** From 1. */
  readonly number: number;
  /** Without the line end; undefined if it is not UTF-8. */
  readonly text: string | undefined;
}

/** The lines of a file; empty ones are skipped. Rejects with `FILE_ERROR`, `LINE_TOO_LONG`. */
export async function* linesOf(path: string): AsyncGenerator<NumberedLine> {
  let number = 0;
  for await (const bytes of rawLinesOf(path)) {
    number++;
    // Invalid UTF-8 would be decoded to other bytes, and be mistaken for them.
    const text = isUtf8(bytes) ? bytes.toString('utf8').replace(/\r$/, '') : undefined;
    if (text === undefined || text.trim() !== '') yield { number, text };
  }
}

async function* rawLinesOf(path: string): AsyncGenerator<Buffer> {
  const input = createReadStream(path);
  let parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
        yield Buffer.concat([...parts, chunk.subarray(start, end)]);
        [parts, bytes, start] = [[], 0, end + 1];
      }
      parts.push(chunk.subarray(start));
      bytes += chunk.length - start;
      if (bytes > LINE_BYTES_MAX) {
        const words = `${path} has a line of more than ${LINE_BYTES_MAX} bytes`;
        throw new EncServerError('LINE_TOO_LONG', words, { hint: 'a record goes on one line' });
      }
    }
    if (bytes > 0) yield Buffer.concat(parts);
  } catch (cause) {
    if (cause instanceof EncServerError) throw cause;
    throw fileError('cannot read', path, cause);
  } finally {
    input.destroy();
  }
}

/**
 * SHA-256 of a file that is read again afterwards, and how many lines end in it. Rejects with
 * `FILE_ERROR`.
 */
export async function measure(path: string): Promise<{ digest: string; lines: number }> {
  await requireRegularFile(path, 'it is read twice: write what the pipe brings to a file first');
  const hash = createHash('sha256');
  let lines = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1))
        lines++;
    }
  } catch (cause) {
    throw fileError('cannot read', path, cause);
  }
  return { digest: hash.digest('hex'), lines };
}

/**
 * Cuts off a last line that was not written completely. Resolves to how many bytes are left.
 * Rejects with `FILE_ERROR`.
 */
export async function cutTornLine(path: string): Promise<number> {
  try {
    const file = await open(path, 'r+');
    try {
      const whole = await wholeBytes(file);
      await file.truncate(whole);
      return whole;
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError('cannot go on with', path, cause);
  }
}

/** The size up to the last line feed. */
async function wholeBytes(file: FileHandle): Promise<number> {
  const buffer = Buffer.alloc(TAIL_BYTES);
  for (let end = (await file.stat()).size; end > 0; ) {
    const start = Math.max(0, end - TAIL_BYTES);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    const last = buffer.subarray(0, bytesRead).lastIndexOf(LINE_FEED);
    if (last >= 0) return start + last + 1;
    end = start;
  }
  return 0;
}

/** @throws EncServerError `INVALID_RECORD` with a message that quotes nothing */
export function parseLine(text: string | undefined): Members {
  if (text === undefined) throw broken('the line is no UTF-8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Members;
    }
  } catch {
    // The parser's own message quotes the line.
  }
  throw broken('the line is no JSON object');
}

/** @throws EncServerError `INVALID_RECORD`, `INVALID_ID`, `INVALID_NAMESPACE` */
export function nameOf(line: Members): LineName {
  const id = bytesOf(line, 'id');
  if (id === undefined) throw broken('the line has no id');
  const namespace = bytesOf(line, 'namespace');
  checkName({ id, namespace: namespace ?? Buffer.alloc(0) });
  return { id, namespace };
}

/** A label that only equal names share. */
export function labelOf({ id, namespace }: LineName): string {
  return `${namespace?.toString('hex') ?? ''}/${id.toString('hex')}`;
}

/**
 * The bytes given as text under `name`, or in base64 under `name64`.
 *
 * @throws EncServerError `INVALID_RECORD` if it is neither, or both
 */
export function bytesOf(line: Members, name: string): Buffer | undefined {
  const [text, base64] = [line[name], line[`${name}64`]];
  if (text === undefined && base64 === undefined) return undefined;
  if (text !== undefined && base64 !== undefined) throw broken(`${name} is there twice`);
  // Half a surrogate pair has no form in UTF-8.
  if (typeof text === 'string' && isWellFormed(text)) return Buffer.from(text, 'utf8');
  if (typeof base64 === 'string') {
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.toString('base64') === base64) return bytes;
  }
  throw broken(`${name} is no text and no base64`);
}

/** The members that hold bytes in a line. */
export function membersOf(name: string, bytes: Buffer | undefined): Members {
  if (bytes === undefined) return {};
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes)
    ? { [name]: text }
    : { [`${name}64`]: bytes.toString('base64') };
}

export function broken(words: string): EncServerError {
  return new EncServerError('INVALID_RECORD', words, {
    hint: 'a line is a JSON object with id or id64, and record or record64',
  });
}
