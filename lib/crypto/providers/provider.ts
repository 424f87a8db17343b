/**
 * Provides the key that seals the secrets of a keyring. A provider gives a key-encryption key of 32
 * bytes each time the file is written, and says in the file how to get it again.
 */
import { EncServerError } from '../../errors.ts';
import { drawFromPassphrase, keyFromPassphrase } from './passphrase.ts';
import { drawFromTransit, keyFromTransit, type TransitSettings } from './transit.ts';

export type ProviderKind = 'file' | SealedKind;
export type SealedKind = 'passphrase' | 'transit';

/** What the file says of the key: names with numbers or texts, none of them secret. */
export type How = Readonly<Record<string, string | number>>;

/** What a server or a command has to open keyrings with. */
export interface KeyringMeans {
  /** Its bytes in UTF-8. */
  readonly passphrase?: Buffer | undefined;
  readonly transit?: TransitSettings | undefined;
}

export interface DrawnKey {
  /** 32 bytes; to be wiped after use. */
  readonly key: Buffer;
  readonly how: How;
}

/** Draws a fresh key. Rejects with `KEYRING_LOCKED` if the means are missing, `UNAVAILABLE`. */
export async function drawProviderKey(kind: SealedKind, means: KeyringMeans): Promise<DrawnKey> {
  const none = 'to seal the keyring by';
  if (kind === 'passphrase') {
    return await drawFromPassphrase(passphraseOf(means, `there is no passphrase ${none}`));
  }
  return await drawFromTransit(transitOf(means, `there is no key service ${none}`));
}

/**
 * The key that a file was sealed under. Rejects with `KEYRING_LOCKED` if the means are missing or
 * wrong, `KEYRING_DAMAGED` for malformed contents of the file, `UNAVAILABLE`.
 */
export async function openProviderKey(
  kind: SealedKind,
  how: How,
  means: KeyringMeans,
): Promise<Buffer> {
  const sealed = 'the keyring is sealed by a';
  if (kind === 'passphrase') {
    return await keyFromPassphrase(passphraseOf(means, `${sealed} passphrase`), how);
  }
  return await keyFromTransit(transitOf(means, `${sealed} key service`), how);
}

/**
 * What a new keyring is sealed by: the key service rather than the passphrase, if there is either.
 */
export function kindOf({ passphrase, transit }: KeyringMeans): ProviderKind {
  if (transit !== undefined) return 'transit';
  return passphrase === undefined ? 'file' : 'passphrase';
}

function passphraseOf({ passphrase }: KeyringMeans, without: string): Buffer {
  if (passphrase !== undefined) return passphrase;
  const hint =
    'set keyringPassphrase; ENC_SERVER_TS_FESERVERCONFIGS_KEYRINGPASSPHRASE_FILE names a file';
  throw new EncServerError('KEYRING_LOCKED', without, { hint });
}

function transitOf({ transit }: KeyringMeans, without: string): TransitSettings {
  if (transit !== undefined) return transit;
  const hint = 'set keyringTransitUrl and keyringTransitToken';
  throw new EncServerError('KEYRING_LOCKED', without, { hint });
}
