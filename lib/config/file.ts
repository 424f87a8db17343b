/** The configuration file as a configuration layer. */

import { EncServerError } from '../errors.ts';
import { emptyRecord, type Layer, put, type Settings } from './layer.ts';
import { nearest } from './nearest.ts';
import { parseText } from './parse.ts';
import { keysOf, SECTION_NAMES } from './schema.ts';
import { readTextFile } from './text-file.ts';

/** Settings of the Go and Python servers that make no sense here, and why. */
export const FAMILY_SETTINGS: Readonly<Record<string, string>> = {
  idKeyStr: 'the key for IDs is drawn into the keyring file, never written into configuration',
  idNonceStr: 'pseudonyms need no nonce',
  keySize: 'every key here has 32 bytes',
  useExtIP: 'set host (and allowOpen) to listen beyond loopback',
};

/** A file's settings, and a warning for each kind of setting that is ignored on purpose. */
export interface FileLayer extends Layer {
  readonly warnings: readonly string[];
}

/**
 * Reads a configuration file, YAML or JSON.
 * @throws EncServerError `BAD_CONFIG` if it cannot be read or parsed, or has an unknown name.
 */
export async function readConfigFile(file: string): Promise<FileLayer> {
  const parsed = await parseText(await readTextFile(file, file), file);
  const settings: Settings = emptyRecord();
  const foreign = new Map<string, string[]>();
  for (const [section, values] of entriesOf(parsed, `${file}: expected sections`)) {
    if (!isIn(SECTION_NAMES, section)) throw unknownSection(file, section);
    for (const [key, value] of entriesOf(values, `${file}: ${section}: expected settings`)) {
      if (isIn(keysOf(section), key)) {
        put(settings, section, key, value);
      } else if (Object.hasOwn(FAMILY_SETTINGS, key)) {
        foreign.set(key, [...(foreign.get(key) ?? []), section]);
      } else {
        throw unknownKey(file, section, key);
      }
    }
  }
  const warnings = [...foreign].map(
    ([key, sections]) =>
      `${file}: ${key} (in ${sections.join(', ')}) is ignored: ${FAMILY_SETTINGS[key]}`,
  );
  return { settings, warnings, place: (section, key) => `${file}: ${section}.${key}` };
}

/** An empty file, or a section whose lines are all comments, has no entries. */
function entriesOf(value: unknown, complaint: string): [string, unknown][] {
  if (value === null) return [];
  // The maps and sets of YAML (!!omap, !!set) have none that this would find.
  const isPlain = typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype;
  if (isPlain) return Object.entries(value);
  throw new EncServerError('BAD_CONFIG', `${complaint}, as { name: value }`);
}

function isIn(names: readonly string[], name: string): boolean {
  return names.includes(name);
}

function unknownSection(file: string, section: string): EncServerError {
  const message = `${file}: unknown section ${shown(section)}`;
  const hint = `the nearest known one is ${nearest(section, SECTION_NAMES)}`;
  return new EncServerError('BAD_CONFIG', message, { hint });
}

function unknownKey(file: string, section: string, key: string): EncServerError {
  const message = `${file}: unknown key ${shown(key)} in ${section}`;
  const homes = SECTION_NAMES.filter((name) => isIn(keysOf(name), key));
  const hint =
    homes.length > 0
      ? `${key} belongs in ${homes.join(' or ')}`
      : `the nearest known one is ${nearest(key, keysOf(section))}`;
  return new EncServerError('BAD_CONFIG', message, { hint });
}

/** A typing mistake can turn a value into a name, and the value may be a secret. */
function shown(name: string): string {
  return /^[\w.-]{1,40}$/.test(name) ? name : '(not shown: it does not look like a name)';
}
