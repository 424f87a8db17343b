/** Secrets that people write, such as passphrases. */
import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { ONE_LINE, readSecretFile } from '../config/text-file.ts';
import { fileError, usage } from './terminal.ts';

/** The text of a file, or of standard input for `-`, without its line end. Rejects with `USAGE`. */
export async function readSecretText(path: string): Promise<Buffer> {
  const reading = path === '-' ? buffer(process.stdin) : readFile(path);
  const text = await reading.catch((cause: unknown) => {
    throw fileError('cannot read the passphrase from', path, cause);
  });
  let end = text.length;
  while (end > 0 && (text[end - 1] === 0x0a || text[end - 1] === 0x0d)) end--;
  if (end > 0) return text.subarray(0, end);
  throw usage('the passphrase is empty');
}

/**
 * As {@link readSecretText}, for a secret that a setting will hold: it is read as settings are, so
 * that nothing is sealed under a secret that no server accepts. Rejects with `USAGE`, `BAD_CONFIG`.
 */
export async function readSettingText(path: string): Promise<Buffer> {
  const isInput = path === '-';
  const name = isInput ? 'standard input' : path;
  const secret = await readSecretFile(isInput ? process.stdin : path, name);
  if (secret === '') throw usage('the passphrase is empty');
  if (ONE_LINE.test(secret)) return Buffer.from(secret, 'utf8');
  throw usage('the passphrase is no text on one line', 'such as that of: openssl rand -base64 24');
}
