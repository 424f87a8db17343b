/**
 * The keyring as the bytes of its file: JSON that a person recognises, with a checksum that detects
 * a flipped digit. `docs/ENVELOPE.md`, "Keyring file".
 */

import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { KEY_BYTES } from '../protocol/limits.ts';

/**
 * - `pending`: known to this front end, but not yet used by any.
 * - `active`: records are written under it, and it is searched first.
 * - `old`: active before; records may still lie under it.
 * - `retired`: no record is left under it. Kept for backups that were made before.
 */
export type EntryState = 'pending' | 'active' | 'old' | 'retired';

export interface KeyringEntry {
  /** 1 to 65,535, ascending in their list. */
  readonly number: number;
  readonly state: EntryState;
  /** 32 bytes. */
  readonly secret: Buffer;
}

export interface Keyring {
  /** Public, random, 16 bytes: tells which keyring a store was filled under. */
  readonly keyringId: Buffer;
  /** From 1, grows with every change of the entries; u32. */
  readonly epoch: number;
  /** Secrets of the pseudonyms; exactly one is active. */
  readonly entries: readonly KeyringEntry[];
  /** Secrets that wrap kept keys; exactly one is active. */
  readonly wrapEntries: readonly KeyringEntry[];
  /** Whether records are opened that still lie as the family's servers sealed them. */
  readonly legacy?: true;
}

export const FORMAT = 'enc-server-ts keyring';
export const VERSION = 1;
/**
 * The provider of this file, whose secrets lie in the file itself. For other providers:
 * `sealed-keyring.ts`.
 */
const PROVIDER = 'file';
const SEALED_PROVIDERS: readonly unknown[] = ['passphrase', 'transit'];
const ABOUT = 'Secret. Back it up: without this file no record in the store can be found.';
export const KEYRING_ID_BYTES = 16;
const CHECKSUM_BYTES = 32;
export const ENTRY_NUMBER_MAX = 0xffff;
export const EPOCH_MAX = 0xffff_ffff;
const STATES: readonly unknown[] = ['pending', 'active', 'old', 'retired'] satisfies EntryState[];
const MEMBERS = [
  'format',
  'version',
  'about',
  'provider',
  'keyringId',
  'epoch',
  'entries',
  'wrapEntries',
  'legacy',
  'checksum',
];
const ENTRY_MEMBERS = ['number', 'state', 'secret'];

export type Members = Readonly<Record<string, unknown>>;

/** The file's bytes. They hold the secrets: wipe them after use. */
export function encodeKeyring(keyring: Keyring): Buffer {
  const file = {
    format: FORMAT,
    version: VERSION,
    about: ABOUT,
    provider: PROVIDER,
    keyringId: keyring.keyringId.toString('hex'),
    epoch: keyring.epoch,
    entries: keyring.entries.map(entryMembers),
    wrapEntries: keyring.wrapEntries.map(entryMembers),
    ...(keyring.legacy && { legacy: true }),
    checksum: checksumOf(keyring).toString('hex'),
  };
  return Buffer.from(`${JSON.stringify(file, undefined, 2)}\n`, 'utf8');
}

/**
 * @throws EncServerError `KEYRING_DAMAGED` if the bytes are not a complete keyring of a known
 *   version
 * @throws EncServerError `KEYRING_LOCKED` if its secrets are sealed
 */
export function decodeKeyring(bytes: Buffer): Keyring {
  const file = parseKeyringFile(bytes);
  if (file['provider'] !== PROVIDER) {
    throw new EncServerError('KEYRING_LOCKED', 'the secrets of the keyring are sealed');
  }
  checkMembers(file, MEMBERS);
  const keyring: Keyring = {
    keyringId: hexMember(file, 'keyringId', KEYRING_ID_BYTES),
    epoch: numberMember(file, 'epoch', EPOCH_MAX),
    entries: entriesMember(file, 'entries'),
    wrapEntries: entriesMember(file, 'wrapEntries'),
    ...legacyMember(file),
  };
  const checksum = hexMember(file, 'checksum', CHECKSUM_BYTES);
  if (!checksum.equals(checksumOf(keyring))) {
    throw damaged('the checksum of the keyring does not fit its content');
  }
  return keyring;
}

/** The members of a keyring of this version, with sealed secrets or without. Throws as above. */
export function parseKeyringFile(bytes: Buffer): Members {
  const file = parse(bytes);
  if (file['format'] !== FORMAT) throw damaged('the file is no keyring');
  checkVersion(file);
  return file;
}

/**
 * SHA-256 over lines of text, one fact per line, so that the spacing of the JSON does not matter.
 */
function checksumOf(keyring: Keyring): Buffer {
  const hash = createHash('sha256');
  hash.update(`${FORMAT}\nversion ${VERSION}\nprovider ${PROVIDER}\n`);
  hash.update(`keyringId ${keyring.keyringId.toString('hex')}\nepoch ${keyring.epoch}\n`);
  for (const entry of keyring.entries) hash.update(entryLine('entry', entry));
  for (const entry of keyring.wrapEntries) hash.update(entryLine('wrapEntry', entry));
  if (keyring.legacy) hash.update('legacy\n');
  return hash.digest();
}

function entryLine(kind: string, entry: KeyringEntry): string {
  return `${kind} ${entry.number} ${entry.state} ${entry.secret.toString('hex')}\n`;
}

function entryMembers(entry: KeyringEntry): Members {
  return { number: entry.number, state: entry.state, secret: entry.secret.toString('hex') };
}

function parse(bytes: Buffer): Members {
  if (!isUtf8(bytes)) throw damaged('the keyring is no UTF-8');
  let file: unknown;
  try {
    file = JSON.parse(bytes.toString('utf8'));
  } catch {
    // The parser's own message quotes the file, secrets included: it must not get out.
    throw damaged('the keyring is cut short or no JSON');
  }
  if (!isMembers(file)) throw damaged('the file is no keyring');
  return file;
}

function checkVersion(file: Members): void {
  const version = file['version'];
  const provider = file['provider'];
  if (version === VERSION && (provider === PROVIDER || SEALED_PROVIDERS.includes(provider))) return;
  const newer = typeof version === 'number' && version > VERSION;
  if (newer || (version === VERSION && typeof provider === 'string')) {
    const hint = 'update this program, or use the keyring that this release made';
    throw damaged('the keyring was written by a newer release', hint);
  }
  throw damaged('unknown keyring version');
}

export function checkMembers(value: Members, known: readonly string[]): void {
  for (const member of Object.keys(value)) {
    if (!known.includes(member)) throw damaged('the keyring has a member that is not known');
  }
}

/** The member must be true or absent. */
export function legacyMember(file: Members): Pick<Keyring, 'legacy'> {
  const legacy = file['legacy'];
  if (legacy === undefined) return {};
  if (legacy === true) return { legacy };
  throw damaged('legacy in the keyring is not true');
}

function entriesMember(file: Members, member: string): KeyringEntry[] {
  return entriesOf(file, member, decodeEntry);
}

/** A list of entries, each of them read by `decode`. */
export function entriesOf<T extends Omit<KeyringEntry, 'secret'>>(
  file: Members,
  member: string,
  decode: (value: unknown) => T,
): T[] {
  const list = file[member];
  if (!Array.isArray(list)) throw damaged(`the keyring has no list of ${member}`);
  const entries = list.map(decode);
  const ascending = entries.every((entry, i) => entry.number > (entries[i - 1]?.number ?? 0));
  if (!ascending) throw damaged(`the numbers of ${member} do not ascend`);
  if (entries.filter((entry) => entry.state === 'active').length !== 1) {
    throw damaged(`not exactly one of ${member} is active`);
  }
  return entries;
}

function decodeEntry(value: unknown): KeyringEntry {
  const entry = decodePublicEntry(value, ENTRY_MEMBERS);
  return { ...entry, secret: hexMember(value as Members, 'secret', KEY_BYTES) };
}

/** The parts of an entry that are not secret. */
export function decodePublicEntry(
  value: unknown,
  members: readonly string[],
): Omit<KeyringEntry, 'secret'> {
  if (!isMembers(value)) throw damaged('a keyring entry is malformed');
  checkMembers(value, members);
  const state = value['state'];
  if (!isState(state)) throw damaged('a keyring entry has an unknown state');
  return { number: numberMember(value, 'number', ENTRY_NUMBER_MAX), state };
}

export function numberMember(value: Members, member: string, max: number): number {
  const number = value[member];
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= max) {
    return number;
  }
  throw damaged(`the ${member} in the keyring is not a number from 1 to ${max}`);
}

export function hexMember(value: Members, member: string, bytes: number): Buffer {
  const hex = value[member];
  if (typeof hex === 'string' && hex.length === bytes * 2 && /^[0-9a-f]+$/.test(hex)) {
    return Buffer.from(hex, 'hex');
  }
  throw damaged(`the ${member} in the keyring is not ${bytes * 2} lower-case hex digits`);
}

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isState(value: unknown): value is EntryState {
  return STATES.includes(value);
}

export function damaged(message: string, hint?: string): EncServerError {
  return new EncServerError('KEYRING_DAMAGED', message, { hint });
}
