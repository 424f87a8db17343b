/** What a backup is sealed under: a key file, or a passphrase. */
import { drawFromPassphrase, keyFromPassphrase } from '../crypto/providers/passphrase.ts';
import { EncServerError } from '../errors.ts';
import type { BackupHeader } from './format.ts';

export type BackupSecret =
  | { readonly kind: 'key' /** 32 bytes. */; readonly key: Buffer }
  | { readonly kind: 'passphrase'; readonly passphrase: Buffer };

/** The backup key for a new file, and what the header says of it. */
export async function drawBackupKey(
  secret: BackupSecret,
): Promise<{ readonly key: Buffer; readonly header: Pick<BackupHeader, 'scrypt'> }> {
  if (secret.kind === 'key') return { key: secret.key, header: {} };
  const { key, how } = await drawFromPassphrase(secret.passphrase);
  return { key, header: { scrypt: how } };
}

/**
 * The backup key of a file. Rejects with `USAGE` if it is sealed the other way, `INVALID_RECORD` if
 * the parameters for its passphrase are out of bounds.
 */
export async function backupKeyOf(secret: BackupSecret, { scrypt }: BackupHeader): Promise<Buffer> {
  if (secret.kind === 'key') {
    if (scrypt === undefined) return secret.key;
    throw new EncServerError('USAGE', 'the backup is sealed by a passphrase', {
      hint: 'give it with --passphrase-file',
    });
  }
  if (scrypt === undefined) {
    throw new EncServerError('USAGE', 'the backup is sealed by a key file', {
      hint: 'give it with --key-file',
    });
  }
  try {
    return await keyFromPassphrase(secret.passphrase, scrypt);
  } catch (cause) {
    throw new EncServerError('INVALID_RECORD', 'the header of the backup is malformed', { cause });
  }
}
