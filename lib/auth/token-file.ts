/**
 * The file of the access tokens: JSON that people can read, with the hashes of the secrets. It is
 * written to a temporary file and renamed, under a lock, so that it is always complete and no
 * change is lost.
 */
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SCOPES, type Scope } from '../access.ts';
import { EncServerError, errnoOf } from '../errors.ts';
import { NAMESPACE_BYTES_MAX } from '../protocol/limits.ts';
import { othersMayUse, replaceFile, withFileLock } from '../secret-file.ts';
import { isTokenId } from './token.ts';

/** What is known of one token. */
export interface TokenEntry {
  /** 12 hexadecimal digits. */
  readonly id: string;
  /** SHA-256 of the secret, 32 bytes. */
  readonly hash: Buffer;
  readonly scopes: readonly Scope[];
  /** The only namespace that it may touch; undefined for all. */
  readonly namespace: string | undefined;
  /** Milliseconds since 1970; undefined for never. */
  readonly expiresMs: number | undefined;
  readonly createdMs: number;
  readonly note: string;
}

const FORMAT = 'enc-server-ts tokens';
const VERSION = 1;
const FILE_BYTES_MAX = 16 * 1024 * 1024;
export const NOTE_CHARACTERS_MAX = 200;
const MEMBERS = ['id', 'sha256', 'scopes', 'namespace', 'expires', 'created', 'note'];

/** Empty if there is no file. Rejects with `FILE_ERROR`. */
export async function readTokens(path: string): Promise<TokenEntry[]> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return [];
    throw fileError(path, 'it cannot be opened', thrown);
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) throw fileError(path, 'it is no file');
    if (othersMayUse(status)) {
      const hint = 'chmod 600 it: who can write it can let anyone in';
      throw new EncServerError('FILE_ERROR', `${path}: others may use it`, { hint });
    }
    if (status.size > FILE_BYTES_MAX) throw fileError(path, 'it is too large');
    return decodeTokens(await file.readFile('utf8'), path);
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    throw fileError(path, 'it cannot be read', thrown);
  } finally {
    await file.close();
  }
}

/**
 * Changes the file: `change` gets the current entries and returns the new ones. When it resolves,
 * the change is on disk. Rejects with `FILE_ERROR`, `CONFLICT` if another command holds the lock.
 */
export async function changeTokens(
  path: string,
  change: (entries: readonly TokenEntry[]) => readonly TokenEntry[],
): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await withFileLock(path, async () => {
      const text = encodeTokens(change(await readTokens(path)));
      // Made by root, and read by a server that runs as somebody else.
      await replaceFile(path, text, { likeFolder: true });
    });
  } catch (thrown) {
    if (thrown instanceof EncServerError) throw thrown;
    const reason = errnoOf(thrown) ?? 'unknown reason';
    throw fileError(path, `it cannot be written (${reason})`, thrown);
  }
}

function encodeTokens(entries: readonly TokenEntry[]): string {
  const tokens = entries.map((entry) => ({
    id: entry.id,
    sha256: entry.hash.toString('hex'),
    scopes: entry.scopes,
    ...(entry.namespace !== undefined && { namespace: entry.namespace }),
    ...(entry.expiresMs !== undefined && { expires: new Date(entry.expiresMs).toISOString() }),
    created: new Date(entry.createdMs).toISOString(),
    ...(entry.note !== '' && { note: entry.note }),
  }));
  return `${JSON.stringify({ format: FORMAT, version: VERSION, tokens }, undefined, 2)}\n`;
}

/** @throws EncServerError `FILE_ERROR` */
export function decodeTokens(text: string, path: string): TokenEntry[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    // The parser's own message quotes the file.
    throw fileError(path, 'it is cut short, or no JSON');
  }
  if (!isMembers(file) || file['format'] !== FORMAT) throw fileError(path, 'it holds no tokens');
  if (file['version'] !== VERSION) {
    throw fileError(path, 'a newer release has written it, or it is damaged');
  }
  const { tokens } = file;
  if (!Array.isArray(tokens)) throw fileError(path, 'it has no list of tokens');
  const entries = tokens.map((value, index) => decodeEntry(value, `${path}, token ${index + 1}`));
  if (new Set(entries.map(({ id }) => id)).size !== entries.length) {
    throw fileError(path, 'a token is in it twice');
  }
  return entries;
}

function decodeEntry(value: unknown, place: string): TokenEntry {
  if (!isMembers(value)) throw fileError(place, 'it is malformed');
  const unknown = Object.keys(value).some((member) => !MEMBERS.includes(member));
  const { id, sha256, scopes, namespace, note = '' } = value;
  const hash = typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256);
  const scoped = Array.isArray(scopes) && scopes.length > 0 && scopes.every(isScope);
  const expiresMs = value['expires'] === undefined ? undefined : timeOf(value['expires']);
  const createdMs = timeOf(value['created']);
  const named = namespace === undefined || isNamespace(namespace);
  const timed = !Number.isNaN(expiresMs) && !Number.isNaN(createdMs);
  const isEntry = typeof id === 'string' && isTokenId(id) && typeof note === 'string';
  if (unknown || !isEntry || !hash || !scoped || !named || !timed) {
    throw fileError(place, 'it is malformed');
  }
  const known = { hash: Buffer.from(sha256, 'hex'), scopes, namespace, expiresMs, createdMs };
  return { id, ...known, note: note.slice(0, NOTE_CHARACTERS_MAX) };
}

function isScope(value: unknown): value is Scope {
  return (SCOPES as readonly unknown[]).includes(value);
}

function isNamespace(value: unknown): value is string {
  return typeof value === 'string' && Buffer.byteLength(value) <= NAMESPACE_BYTES_MAX;
}

function timeOf(value: unknown): number {
  return typeof value === 'string' ? Date.parse(value) : Number.NaN;
}

function isMembers(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fileError(place: string, words: string, cause?: unknown): EncServerError {
  const hint = 'put the file back from a backup, or make new tokens with enc-server tokens create';
  return new EncServerError('FILE_ERROR', `${place}: ${words}`, { hint, cause });
}
