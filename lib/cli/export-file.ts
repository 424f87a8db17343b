/**
 * The file that an export writes. Its first line identifies the keys that were used, and holds a
 * random number; then comes a line for each record, on disk before the next ones are requested. So
 * an interrupted export continues where it was.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { access, type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { cutTornLine, linesOf, type Members, parseLine } from './jsonl.ts';
import { LineErrors } from './line-errors.ts';
import { requireRegularFile } from './regular-file.ts';

export const EXPORT_FORMAT = 'enc-server-ts export';
const VERSION = 1;
const NONCE_BYTES = 32;
const READER_LABEL = 'enc-server-ts export reader v1';

export class ExportFile {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #nonce: Buffer;
  /** The last line of the keys that was requested. */
  lastLine = 0;
  /** Earlier lines that were answered with a temporary error. */
  readonly again = new Set<number>();
  /** Permanent errors. */
  readonly errors = new LineErrors();
  exported = 0;

  private constructor(path: string, file: FileHandle, nonce: Buffer) {
    this.#path = path;
    this.#file = file;
    this.#nonce = nonce;
  }

  /**
   * Makes the file, or continues the existing one. Rejects with `CONFLICT` if that belongs to other
   * keys, `FILE_ERROR`.
   *
   * @param keysPath the file of the keys
   */
  static async open(path: string, keysPath: string): Promise<ExportFile> {
    await requireRegularFile(path, 'name a file with --out: an interrupted export goes on with it');
    const keys = await digestOfHead(keysPath);
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    // Check ownership before touching the file.
    const nonce = isThere ? await nonceOf(path, keys) : undefined;
    if (nonce !== undefined) await cutTornLine(path);
    const handle = await open(path, 'a', 0o600).catch((cause) => {
      throw fileError('cannot write', path, cause);
    });
    const file = new ExportFile(path, handle, nonce ?? randomBytes(NONCE_BYTES));
    try {
      if (nonce === undefined) await file.#begin(keys);
      else await file.#read();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return file;
  }

  /**
   * The reader's token of a record, 32 bytes: the same each time this file is continued, so that a
   * record that can be read once, and was requested just before an interruption, can be read again.
   *
   * @param key the record's
   */
  readerOf(key: Buffer): Buffer {
    return createHmac('sha256', key).update(READER_LABEL).update(this.#nonce).digest();
  }

  /** Whether a line of the keys must still be requested. */
  isOpen(line: number): boolean {
    return line > this.lastLine || this.again.has(line);
  }

  /** The lines are on disk when it resolves. Rejects with `FILE_ERROR`. */
  async append(lines: readonly Members[]): Promise<void> {
    try {
      await this.#file.appendFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
      await this.#file.sync();
    } catch (cause) {
      throw fileError('cannot write', this.#path, cause);
    }
    for (const line of lines) this.#take(line);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #begin(keys: string): Promise<void> {
    const nonce = this.#nonce.toString('hex');
    await this.append([{ format: EXPORT_FORMAT, version: VERSION, keys, nonce }]);
    await syncFolder(dirname(this.#path));
  }

  async #read(): Promise<void> {
    for await (const { text } of linesOf(this.#path)) this.#take(parseLine(text));
  }

  #take({ line, error: code, message, again }: Members): void {
    if (typeof line !== 'number') return;
    this.lastLine = Math.max(this.lastLine, line);
    if (again === true) {
      this.again.add(line);
      return;
    }
    this.again.delete(line);
    if (typeof code === 'string') this.errors.add({ line, code, message: String(message) });
    else this.exported++;
  }
}

/** Undefined for an empty file. Rejects with `CONFLICT` if it is a different file. */
async function nonceOf(path: string, keys: string): Promise<Buffer | undefined> {
  for await (const { text } of linesOf(path)) {
    const head = membersOrNone(text);
    const nonce = Buffer.from(String(head['nonce']), 'hex');
    const isOurs = head['format'] === EXPORT_FORMAT && head['version'] === VERSION;
    if (isOurs && head['keys'] === keys && nonce.length === NONCE_BYTES) return nonce;
    const whose = isOurs ? 'is the export of other keys' : 'is no export of this program';
    throw new EncServerError('CONFLICT', `${path} ${whose}`, { hint: 'name another with --out' });
  }
  return undefined;
}

/** SHA-256 of the first line, in hexadecimal digits: keys may be appended, but that line stays. */
async function digestOfHead(keysPath: string): Promise<string> {
  for await (const { text = '' } of linesOf(keysPath)) {
    return createHash('sha256').update(text).digest('hex');
  }
  return '';
}

function membersOrNone(text: string | undefined): Members {
  try {
    return parseLine(text);
  } catch {
    return {};
  }
}
