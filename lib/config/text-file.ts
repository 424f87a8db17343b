/** Small text files: configuration and secrets. */

import { createReadStream } from 'node:fs';
import { EncServerError } from '../errors.ts';

/** No configuration is larger; this also keeps an endless device from filling the memory. */
const FILE_BYTES_MAX = 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
};

/** A path, or the stream of standard input: opening `/dev/stdin` fails for sockets, and under sudo. */
export type TextSource = string | NodeJS.ReadStream;

/**
 * The text of a UTF-8 file of at most 1 MiB, without a byte order mark. `name` describes the file
 * for people.
 * @throws EncServerError `BAD_CONFIG`; the cause's `code` is the system's, such as `ENOENT`.
 */
export async function readTextFile(source: TextSource, name: string): Promise<string> {
  const bytes = await readBytes(source, name);
  if (bytes.length > FILE_BYTES_MAX) throw bad(name, 'it is longer than 1 MiB');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw bad(name, 'it is no UTF-8 text');
  }
}

/** What a text setting may contain. */
export const ONE_LINE = /^[^\p{Cc}]*$/u;

/** A secret from its file: as {@link readTextFile}, without the line end that editors add. */
export async function readSecretFile(source: TextSource, name: string): Promise<string> {
  return (await readTextFile(source, name)).replace(/\r?\n$/, '');
}

async function readBytes(source: TextSource, name: string): Promise<Buffer> {
  const stream = typeof source === 'string' ? createReadStream(source) : source;
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > FILE_BYTES_MAX) break;
    }
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw bad(name, REASONS[code] ?? `it cannot be read (${code})`, cause);
  }
  return Buffer.concat(chunks);
}

function bad(name: string, why: string, cause?: unknown): EncServerError {
  return new EncServerError('BAD_CONFIG', `${name}: ${why}`, cause === undefined ? {} : { cause });
}
