/**
 * Finds the end of a log after a restart. The state on disk may be one group behind the log: later
 * lines that verify are adopted. What does not verify was torn by a crash.
 */
import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { EncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { isNext, nextKey, parseLine } from './chain.ts';
import { filesOf } from './log-files.ts';
import type { LogState } from './state-file.ts';

/** Bytes at the end of a log that are not a line. They stay; a line records what they are. */
export interface Torn {
  readonly bytes: number;
  readonly sha256: string;
}

export interface Recovered {
  /** The state to continue from; its offset is after the torn bytes. */
  readonly state: LogState;
  /** Includes the line feed that is to be written after them. */
  readonly torn: Torn | undefined;
  /** What must be written first, so that the next entry begins a new line. */
  readonly prefix: string;
}

/** Far more than a server writes at once. */
const TAIL_BYTES_MAX = 256 * 1024 * 1024;
const LINE_FEED = 0x0a;

interface Part {
  readonly number: number;
  readonly path: string;
}

/**
 * Rejects with `FILE_ERROR` if the log ends before the state does, or does not continue as it must:
 * no crash does that.
 */
export async function recover(path: string, state: LogState): Promise<Recovered> {
  const parts = await partsFrom(path, state);
  let now = state;
  for (const [index, part] of parts.entries()) {
    const from = index === 0 ? state.offset : 0;
    const tail = await readTail(part.path, from);
    now = { ...now, fileNumber: part.number, offset: from };
    const { state: reached, rest } = follow(now, tail);
    now = reached;
    if (rest.length === 0) continue;
    if (index < parts.length - 1) throw broken(`${part.path} does not go on as it must`);
    return tornEnd(now, rest);
  }
  return { state: now, torn: undefined, prefix: '' };
}

/** The file that the state ends in, and later ones; the last one is the one to write. */
async function partsFrom(path: string, { fileNumber, offset }: LogState): Promise<Part[]> {
  const files = await filesOf(path);
  const parts: Part[] = [];
  for (const file of files) {
    const number = file.number ?? (parts.at(-1)?.number ?? fileNumber - 1) + 1;
    if (number >= fileNumber) parts.push({ number, path: file.path });
  }
  const isFresh = fileNumber === 1 && offset === 0;
  if (parts.length === 0 ? !isFresh : parts[0]?.number !== fileNumber) {
    throw broken(`${path} is gone, or a file that was put aside`);
  }
  if (files.at(-1)?.number === undefined && parts.length > 0) return parts;
  // There is no current file yet, or a crash came between putting a full one aside and making the
  // next.
  return [...parts, { number: (parts.at(-1)?.number ?? 0) + 1, path }];
}

async function readTail(path: string, from: number): Promise<Buffer> {
  try {
    const { size } = await stat(path).catch(nothing);
    if (size < from) throw broken(`${path} is shorter than it was`);
    if (size === from) return Buffer.alloc(0);
    if (size - from > TAIL_BYTES_MAX) throw broken(`${path} is much longer than it was`);
    if (from === 0) return await readFile(path);
    const file = await open(path, 'r');
    try {
      const tail = Buffer.alloc(size - from);
      await file.read(tail, 0, tail.length, from);
      return tail;
    } finally {
      await file.close();
    }
  } catch (thrown) {
    throw fileError('cannot read the audit log', path, thrown);
  }
}

function nothing(thrown: NodeJS.ErrnoException): { size: number } {
  if (thrown.code === 'ENOENT') return { size: 0 };
  throw thrown;
}

/** Adopts the lines that verify. */
function follow(start: LogState, tail: Buffer): { state: LogState; rest: Buffer } {
  let state = start;
  let at = 0;
  for (;;) {
    const end = tail.indexOf(LINE_FEED, at);
    const line = end < 0 ? undefined : parseLine(tail.subarray(at, end));
    if (line?.number !== state.count || !isNext(line, state.key, state.head)) break;
    const { count, key, fileNumber, offset } = state;
    const bytes = end + 1 - at;
    state = {
      count: count + 1,
      key: nextKey(key),
      head: line.mac,
      fileNumber,
      offset: offset + bytes,
    };
    at = end + 1;
  }
  return { state, rest: tail.subarray(at) };
}

function tornEnd(state: LogState, rest: Buffer): Recovered {
  const prefix = rest.at(-1) === LINE_FEED ? '' : '\n';
  const sha256 = createHash('sha256').update(rest).update(prefix).digest('hex');
  return {
    state: { ...state, offset: state.offset + rest.length },
    torn: { bytes: rest.length + prefix.length, sha256 },
    prefix,
  };
}

function broken(words: string): EncServerError {
  const hint =
    'somebody changed the log, or an older copy was put back: keep all its files for the ' +
    'auditor, and begin another with enc-server audit init';
  return new EncServerError('FILE_ERROR', `the audit log does not fit its state: ${words}`, {
    hint,
  });
}
