/**
 * The keyring file, read as `docs/ENVELOPE.md` has it. Belongs to `second-decoder.ts`, and as
 * that imports nothing of the program.
 */
import { createHash } from 'node:crypto';
import { type Entry, Refused, readUtf8 } from './second-decoder.ts';

export interface KeyringEntry extends Entry {
  readonly state: string;
}

export interface Keyring {
  readonly keyringId: Buffer;
  readonly epoch: number;
  readonly entries: readonly KeyringEntry[];
  readonly wrapEntries: readonly KeyringEntry[];
}

type Members = Readonly<Record<string, unknown>>;

const FORMAT = 'enc-server-ts keyring';
const FILE_MEMBERS = [
  'format',
  'version',
  'provider',
  'keyringId',
  'epoch',
  'entries',
  'wrapEntries',
  'checksum',
];
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const STATES = ['pending', 'active', 'old', 'retired'];

/** Section "Keyring file": the bytes of one, or `KEYRING_DAMAGED`. */
export function readKeyring(bytes: Buffer): Keyring {
  const file = membersOf(parse(bytes), FILE_MEMBERS, ['about']);
  check(file['format'] === FORMAT, 'format');
  check(file['version'] === 1, 'version');
  check(file['provider'] === 'file', 'provider');
  const keyring = {
    keyringId: readHex(file['keyringId'], 16),
    epoch: readNumber(file['epoch'], 2 ** 32 - 1),
    entries: readEntries(file['entries']),
    wrapEntries: readEntries(file['wrapEntries']),
  };
  check(readHex(file['checksum'], 32).equals(checksumOf(keyring)), 'checksum');
  return keyring;
}

function parse(bytes: Buffer): unknown {
  check(bytes.length <= FILE_BYTES_MAX, 'length of the file');
  const text = readUtf8(bytes);
  check(text !== undefined, 'UTF-8');
  try {
    return JSON.parse(text);
  } catch {
    throw damaged('JSON');
  }
}

function readEntries(list: unknown): KeyringEntry[] {
  check(Array.isArray(list), 'list of entries');
  const entries = list.map((item: unknown) => {
    const members = membersOf(item, ['number', 'state', 'secret'], []);
    const { state } = members;
    check(typeof state === 'string' && STATES.includes(state), 'state');
    return {
      number: readNumber(members['number'], 65_535),
      state,
      secret: readHex(members['secret'], 32),
    };
  });
  check(
    entries.every(({ number }, at) => number > (entries[at - 1]?.number ?? 0)),
    'order',
  );
  check(entries.filter(({ state }) => state === 'active').length === 1, 'one active entry');
  return entries;
}

function checksumOf(keyring: Keyring): Buffer {
  const lineOf = (word: string) => (entry: KeyringEntry) =>
    `${word} ${entry.number} ${entry.state} ${hexOf(entry.secret)}`;
  const lines = [
    FORMAT,
    'version 1',
    'provider file',
    `keyringId ${hexOf(keyring.keyringId)}`,
    `epoch ${keyring.epoch}`,
    ...keyring.entries.map(lineOf('entry')),
    ...keyring.wrapEntries.map(lineOf('wrapEntry')),
  ];
  const hash = createHash('sha256');
  for (const line of lines) hash.update(`${line}\n`);
  return hash.digest();
}

/** An object with all of `needed`, and beside them at most some of `optional`. */
function membersOf(value: unknown, needed: string[], optional: string[]): Members {
  check(typeof value === 'object' && value !== null && !Array.isArray(value), 'object');
  const names = Object.keys(value);
  check(
    needed.every((name) => names.includes(name)),
    'missing member',
  );
  check(
    names.every((name) => needed.includes(name) || optional.includes(name)),
    'unknown member',
  );
  return value as Members;
}

function readNumber(value: unknown, most: number): number {
  check(typeof value === 'number' && Number.isInteger(value), 'number');
  check(value >= 1 && value <= most, 'bounds of a number');
  return value;
}

function readHex(value: unknown, bytes: number): Buffer {
  check(typeof value === 'string' && /^[0-9a-f]*$/.test(value), 'hexadecimal');
  check(value.length === 2 * bytes, 'length of a byte string');
  return Buffer.from(value, 'hex');
}

function hexOf(bytes: Buffer): string {
  return bytes.toString('hex');
}

function check(holds: boolean, why: string): asserts holds {
  if (!holds) throw damaged(why);
}

function damaged(why: string): Refused {
  return new Refused('KEYRING_DAMAGED', why);
}
