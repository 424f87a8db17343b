/** The files of one audit log: the current one, and those that were put aside, numbered. */
import { readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { fileError } from '../file-error.ts';

const NUMBER_DIGITS = 6;
const NUMBER = /^\.(\d{6,})$/;

export interface LogFile {
  /** From 1; undefined for the current file, which comes last. */
  readonly number: number | undefined;
  readonly path: string;
}

/** What a full file is renamed to. */
export function numberedFile(path: string, number: number): string {
  return `${path}.${String(number).padStart(NUMBER_DIGITS, '0')}`;
}

/** The files that exist, in the order of their lines. Rejects with `FILE_ERROR`. */
export async function filesOf(path: string): Promise<LogFile[]> {
  const [folder, name] = [dirname(path), basename(path)];
  const names = await readdir(folder).catch((thrown: unknown) => {
    throw fileError('cannot look into', folder, thrown);
  });
  const numbered = names
    .filter((other) => other.startsWith(`${name}.`))
    .map((other) => Number(NUMBER.exec(other.slice(name.length))?.[1] ?? 0))
    .filter((number) => number > 0)
    .sort((a, b) => a - b)
    .map((number) => ({ number, path: numberedFile(path, number) }));
  const current = names.includes(name) ? [{ number: undefined, path }] : [];
  return [...numbered, ...current];
}
