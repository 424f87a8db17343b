/**
 * A keyring whose secrets are sealed in its file, by AES-256-GCM under a key from a provider. The
 * rest stays readable, and is the associated data. `docs/ENVELOPE.md`, "Keyring file".
 */
import { createHash } from 'node:crypto';
import { EncServerError } from '../errors.ts';
import { KEY_BYTES } from '../protocol/limits.ts';
import { openAead, sealAead, TAG_BYTES } from './aead.ts';
import {
  checkMembers,
  damaged,
  decodePublicEntry,
  EPOCH_MAX,
  entriesOf,
  FORMAT,
  hexMember,
  isMembers,
  KEYRING_ID_BYTES,
  type Keyring,
  type KeyringEntry,
  legacyMember,
  type Members,
  numberMember,
  VERSION,
} from './keyring-file.ts';
import type { How, SealedKind } from './providers/provider.ts';
import { randomBytesPooled } from './random.ts';

const ABOUT = 'Sealed. Back it up: without this file, and what opens it, no record can be found.';
const NONCE_BYTES = 12;
const CHECKSUM_BYTES = 32;
const MEMBERS = [
  'format',
  'version',
  'about',
  'provider',
  'how',
  'keyringId',
  'epoch',
  'entries',
  'wrapEntries',
  'legacy',
  'nonce',
  'sealed',
  'checksum',
];
const ENTRY_MEMBERS = ['number', 'state'];
const HOW_NAME = /^\w{1,32}$/;
const HOW_MEMBERS_MAX = 8;
const NO_BYTES = Buffer.alloc(0);

type PublicEntry = Omit<KeyringEntry, 'secret'>;

/** The parts of a sealed keyring that can be read without its key. */
export interface SealedKeyring {
  readonly kind: SealedKind;
  readonly how: How;
  readonly keyringId: Buffer;
  readonly epoch: number;
  readonly entries: readonly PublicEntry[];
  readonly wrapEntries: readonly PublicEntry[];
  readonly legacy?: true;
  /** 12 bytes. */
  readonly nonce: Buffer;
  /** The secrets of both lists in their order, sealed, and a tag of 16 bytes. */
  readonly sealed: Buffer;
}

/**
 * The bytes of the file.
 *
 * @param key 32 bytes, from the provider, for this one writing only
 * @param nonce 12 bytes; for test vectors only, drawn at random otherwise
 */
export function encodeSealedKeyring(
  keyring: Keyring,
  kind: SealedKind,
  how: How,
  key: Buffer,
  nonce: Buffer = randomBytesPooled(NONCE_BYTES),
): Buffer {
  const all = { ...keyring, kind, how, nonce };
  const secrets = Buffer.concat(
    [...keyring.entries, ...keyring.wrapEntries].map(({ secret }) => secret),
  );
  const sealed = sealAead(key, nonce, Buffer.from(publicLines(all)), NO_BYTES, secrets);
  secrets.fill(0);
  const file = {
    format: FORMAT,
    version: VERSION,
    about: ABOUT,
    provider: kind,
    how,
    keyringId: keyring.keyringId.toString('hex'),
    epoch: keyring.epoch,
    entries: keyring.entries.map(publicOf),
    wrapEntries: keyring.wrapEntries.map(publicOf),
    ...(keyring.legacy && { legacy: true }),
    nonce: nonce.toString('hex'),
    sealed: sealed.toString('hex'),
    checksum: checksumOf({ ...all, sealed }).toString('hex'),
  };
  return Buffer.from(`${JSON.stringify(file, undefined, 2)}\n`, 'utf8');
}

/** @throws EncServerError `KEYRING_DAMAGED` if it is malformed, or changed by accident */
export function decodeSealedKeyring(file: Members): SealedKeyring {
  checkMembers(file, MEMBERS);
  const entry = (value: unknown) => decodePublicEntry(value, ENTRY_MEMBERS);
  const [entries, wrapEntries] = [
    entriesOf(file, 'entries', entry),
    entriesOf(file, 'wrapEntries', entry),
  ];
  const sealedBytes = KEY_BYTES * (entries.length + wrapEntries.length) + TAG_BYTES;
  const keyring: SealedKeyring = {
    kind: file['provider'] as SealedKind,
    how: howOf(file['how']),
    keyringId: hexMember(file, 'keyringId', KEYRING_ID_BYTES),
    epoch: numberMember(file, 'epoch', EPOCH_MAX),
    entries,
    wrapEntries,
    ...legacyMember(file),
    nonce: hexMember(file, 'nonce', NONCE_BYTES),
    sealed: hexMember(file, 'sealed', sealedBytes),
  };
  if (hexMember(file, 'checksum', CHECKSUM_BYTES).equals(checksumOf(keyring))) return keyring;
  throw damaged('the checksum of the keyring does not fit its content');
}

/** @throws EncServerError `KEYRING_LOCKED` if the key is wrong, or somebody changed the file */
export function openSealedKeyring(sealed: SealedKeyring, key: Buffer): Keyring {
  const { keyringId, epoch, entries, wrapEntries, legacy, nonce } = sealed;
  let secrets: Buffer;
  try {
    secrets = openAead(key, nonce, Buffer.from(publicLines(sealed)), sealed.sealed);
  } catch (cause) {
    const words =
      sealed.kind === 'passphrase'
        ? 'the passphrase is wrong, or the keyring was changed'
        : 'the key of the key service does not open the keyring';
    throw new EncServerError('KEYRING_LOCKED', words, { cause });
  }
  const withSecret = (entry: PublicEntry, index: number): KeyringEntry => ({
    ...entry,
    secret: Buffer.from(secrets.subarray(KEY_BYTES * index, KEY_BYTES * (index + 1))),
  });
  const keyring = {
    keyringId,
    epoch,
    entries: entries.map(withSecret),
    wrapEntries: wrapEntries.map((entry, index) => withSecret(entry, entries.length + index)),
    ...(legacy && { legacy }),
  };
  secrets.fill(0);
  return keyring;
}

function publicOf({ number, state }: PublicEntry): PublicEntry {
  return { number, state };
}

/** One fact per line: the associated data. */
function publicLines({
  kind,
  how,
  keyringId,
  epoch,
  entries,
  wrapEntries,
  legacy,
}: Omit<SealedKeyring, 'nonce' | 'sealed'>): string {
  const lines = [
    FORMAT,
    `version ${VERSION}`,
    `provider ${kind}`,
    ...Object.keys(how)
      .sort()
      .map((name) => `how ${name} ${how[name]}`),
    `keyringId ${keyringId.toString('hex')}`,
    `epoch ${epoch}`,
    ...entries.map(({ number, state }) => `entry ${number} ${state}`),
    ...wrapEntries.map(({ number, state }) => `wrapEntry ${number} ${state}`),
    ...(legacy ? ['legacy'] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** Detects damage before the provider is asked. */
function checksumOf(keyring: SealedKeyring): Buffer {
  return createHash('sha256')
    .update(publicLines(keyring))
    .update(`nonce ${keyring.nonce.toString('hex')}\n`)
    .update(`sealed ${keyring.sealed.toString('hex')}\n`)
    .digest();
}

function howOf(value: unknown): How {
  if (!isMembers(value)) throw damaged('the keyring does not say how it is sealed');
  const members = Object.entries(value);
  const isPlain = members.every(
    ([name, one]) =>
      HOW_NAME.test(name) &&
      (typeof one === 'number' || (typeof one === 'string' && /^[\x21-\x7e]{1,4096}$/.test(one))),
  );
  if (!isPlain || members.length > HOW_MEMBERS_MAX) {
    throw damaged('what the keyring says of its sealing is malformed');
  }
  return value as How;
}
