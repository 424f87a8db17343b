/** Files of the repository, as tests of what is beside the program read them. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

const ROOT = new URL('../../../', import.meta.url);

/** The absolute path of a file of the repository. */
export function pathInRepository(path: string): string {
  return fileURLToPath(new URL(path, ROOT));
}

export function readRepository(path: string): string {
  return readFileSync(pathInRepository(path), 'utf8');
}

/** The paths of all files under a folder, sorted. */
export function filesUnder(folder: string): string[] {
  return readdirSync(pathInRepository(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(pathInRepository('').length))
    .sort();
}

/** A YAML file of one document; `<<` merges. */
export function readYaml(path: string): unknown {
  return parse(readRepository(path), { merge: true });
}

/** All documents of a YAML file. */
export function readYamlDocuments(path: string): unknown[] {
  const documents = parseAllDocuments(readRepository(path), { merge: true });
  if (!Array.isArray(documents)) throw new Error(`${path} is empty`);
  return documents.map((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return document.toJS() as unknown;
  });
}

/** The targets that `make help` lists. */
export function makeTargets(): string[] {
  const rows = readRepository('Makefile').matchAll(/^([a-z-]+):.*## /gm);
  return [...rows].map((row) => row[1] as string);
}
