/**
 * The file of the keys of an import. Its first line identifies the imported file; then come the
 * keys, on disk before they are used, and after each batch the line up to which it went. So an
 * interrupted import continues where it was, with the same keys.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../durable-file.ts';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { encodeHex } from '../protocol/hex.ts';
import {
  cutTornLine,
  type LineName,
  labelOf,
  linesOf,
  membersOf,
  nameOf,
  parseLine,
} from './jsonl.ts';
import { requireRegularFile } from './regular-file.ts';

const FORMAT = 'enc-server-ts keys';
const VERSION = 1;

/** A key that is used for a line of the import file. */
export interface KeyLine extends LineName {
  readonly line: number;
  /** 32 bytes. */
  readonly key: Buffer;
}

export class KeyLines {
  readonly #path: string;
  readonly #file: FileHandle;
  /** Keys that were drawn for lines which are not done yet. */
  readonly keys = new Map<number, Buffer>();
  /** The last line that was sent and answered. */
  doneLine = 0;
  /** Earlier lines that were answered with an error, and are not replaced by a later line. */
  readonly failed = new Set<number>();
  /** The line of each name, for lines whose keys are kept. */
  readonly #lineOfName = new Map<string, number>();

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Makes the file, or continues the existing one. Rejects with `CONFLICT` if that belongs to
   * another import, `FILE_ERROR`.
   *
   * @param digest SHA-256 of the import file, in hexadecimal digits
   */
  static async open(path: string, digest: string): Promise<KeyLines> {
    await requireRegularFile(path, 'name a file with --keys-out: an import goes on with it');
    try {
      const lines = new KeyLines(path, await open(path, 'ax', 0o600));
      await lines.#append([headLine(digest)]);
      await syncFolder(dirname(path));
      return lines;
    } catch (thrown) {
      const cause = thrown instanceof EncServerError ? thrown.cause : thrown;
      if ((cause as NodeJS.ErrnoException | undefined)?.code !== 'EEXIST') {
        throw thrown instanceof EncServerError ? thrown : fileError('cannot write', path, thrown);
      }
    }
    // Check ownership before touching the file.
    const isEmpty = await isEmptyOrOurs(path, digest);
    if (!isEmpty) await cutTornLine(path);
    const lines = new KeyLines(path, await open(path, 'a', 0o600));
    if (isEmpty) await lines.#append([headLine(digest)]);
    else await lines.#read();
    return lines;
  }

  /** The keys are on disk when it resolves. */
  async add(keys: readonly KeyLine[]): Promise<void> {
    await this.#append(keys.map(keyLine));
  }

  /** All lines up to `line` were answered; some newly failed, and some no longer do. */
  async markDone(line: number, failed: readonly number[], mended: readonly number[]) {
    const mark = { done: line, failed, mended };
    this.#take(mark);
    await this.#append([Buffer.from(`${JSON.stringify(mark)}\n`)]);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #append(lines: readonly Buffer[]): Promise<void> {
    const bytes = Buffer.concat(lines);
    try {
      await this.#file.appendFile(bytes);
      await this.#file.sync();
    } catch (cause) {
      throw fileError('cannot write', this.#path, cause);
    } finally {
      bytes.fill(0);
    }
  }

  async #read(): Promise<void> {
    for await (const { text } of linesOf(this.#path)) this.#take(parseLine(text));
  }

  #take(line: Readonly<Record<string, unknown>>): void {
    const { done, failed = [], mended = [], line: number, key } = line;
    if (typeof done === 'number') {
      for (const one of failed as number[]) this.failed.add(one);
      for (const one of mended as number[]) this.failed.delete(one);
      this.doneLine = Math.max(this.doneLine, done);
      // A line that failed keeps its key: the record may have been stored all the same.
      for (const [known] of this.keys) {
        if (known <= this.doneLine && !this.failed.has(known)) this.keys.delete(known);
      }
      for (const [name, known] of this.#lineOfName) {
        if (!this.keys.has(known)) this.#lineOfName.delete(name);
      }
    } else if (typeof number === 'number' && typeof key === 'string') {
      // Of two lines with one name the later one counts: the earlier is not sent again after it.
      const name = labelOf(nameOf(line));
      const earlier = this.#lineOfName.get(name);
      if (earlier !== undefined && earlier < number) this.failed.delete(earlier);
      this.#lineOfName.set(name, number);
      this.keys.set(number, Buffer.from(key, 'hex'));
    }
  }
}

/** Resolves to whether it is empty. Rejects with `CONFLICT` if it is a different file. */
async function isEmptyOrOurs(path: string, digest: string): Promise<boolean> {
  for await (const { text } of linesOf(path)) {
    if (isHeadOf(text, digest)) return false;
    const hint = 'name another file with --keys-out, or import the file that it belongs to';
    throw new EncServerError('CONFLICT', `${path} belongs to another import`, { hint });
  }
  return true;
}

function isHeadOf(text: string | undefined, digest: string): boolean {
  try {
    const head = parseLine(text);
    return head['format'] === FORMAT && head['version'] === VERSION && head['import'] === digest;
  } catch {
    return false;
  }
}

function headLine(digest: string): Buffer {
  const about = 'Secret: the only keys of these records.';
  return Buffer.from(
    `${JSON.stringify({ format: FORMAT, version: VERSION, about, import: digest })}\n`,
  );
}

/** The key is put into the line as bytes, never as a string. */
function keyLine({ line, id, namespace, key }: KeyLine): Buffer {
  const start = { line, ...membersOf('id', id), ...membersOf('namespace', namespace) };
  const head = `${JSON.stringify(start).slice(0, -1)},"key":"`;
  return Buffer.concat([Buffer.from(head), encodeHex(key), Buffer.from('"}\n')]);
}
