/**
 * The progress of a migration: a file next to the keyring, written after each batch, so that an
 * interrupted migration can be resumed.
 */
import { readFile } from 'node:fs/promises';
import { EncServerError } from '../errors.ts';
import { replaceFile } from '../secret-file.ts';

/** The outcome of the documents so far; each is counted once. */
export interface Counts {
  /** Stored by this migration. */
  readonly moved: number;
  /** Already here, from an interrupted attempt or a duplicate document. */
  readonly known: number;
  /** Something else is stored here under the name, and was left alone. */
  readonly conflicts: number;
  /** Could not be read, and were skipped as requested. */
  readonly skipped: number;
}

export interface MigrationState {
  /** Where the documents come from; no user, no password. */
  readonly source: string;
  /** The last document that was done; undefined at the beginning. */
  readonly position: string | undefined;
  readonly counts: Counts;
  readonly isDone: boolean;
}

const FORMAT = 'enc-server-ts migration';
const VERSION = 1;

const NO_COUNTS: Counts = { moved: 0, known: 0, conflicts: 0, skipped: 0 };

export function statePathOf(keyring: string): string {
  return `${keyring}.migration`;
}

/**
 * The state of the migration from `source`, which may have just begun. Rejects with `CONFLICT` if a
 * migration from another source was begun, `FILE_ERROR`.
 */
export async function readState(path: string, source: string): Promise<MigrationState> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw unreadable(path, cause);
    return { source, position: undefined, counts: NO_COUNTS, isDone: false };
  }
  const state = parseState(path, text);
  if (state.source === source || state.isDone) {
    return state.source === source
      ? state
      : { source, position: undefined, counts: NO_COUNTS, isDone: false };
  }
  const hint = `end that one first; or remove ${path}, and what it has done is looked at again`;
  throw new EncServerError('CONFLICT', `a migration from ${state.source} was begun`, { hint });
}

/** When it resolves, the state is on disk. */
export async function writeState(path: string, state: MigrationState): Promise<void> {
  const text = `${JSON.stringify({ format: FORMAT, version: VERSION, ...state }, undefined, 2)}\n`;
  try {
    await replaceFile(path, text);
  } catch (cause) {
    throw new EncServerError('FILE_ERROR', `cannot write ${path}`, { cause });
  }
}

function parseState(path: string, text: string): MigrationState {
  try {
    const { format, version, source, position, counts, isDone } = JSON.parse(text);
    const isWhole = ['moved', 'known', 'conflicts', 'skipped'].every((name) =>
      Number.isSafeInteger(counts[name]),
    );
    if (format === FORMAT && version === VERSION && typeof source === 'string' && isWhole) {
      return { source, position, counts, isDone: isDone === true };
    }
  } catch {
    // Reported below.
  }
  throw unreadable(path, undefined);
}

function unreadable(path: string, cause: unknown): EncServerError {
  const hint = 'remove it, and everything is looked at again';
  return new EncServerError('FILE_ERROR', `${path} does not say how far a migration is`, {
    hint,
    cause,
  });
}
