/** Secrets that people write, such as passphrases. */
import { ONE_LINE, readSecretFile } from '../config/text-file.ts';
import { readBytes } from './record-io.ts';
import { usage } from './terminal.ts';

/** As for other settings; this also keeps an endless device from filling the memory. */
const BYTES_MAX = 1024 * 1024;

/**
 * The text of a file, or of standard input for `-`, without its line end. Rejects with `USAGE`,
 * `FILE_ERROR`.
 */
export async function readSecretText(path: string): Promise<Buffer> {
  const text = await readBytes(path === '-' ? undefined : path, BYTES_MAX);
  if (text === undefined) throw usage('what should be a passphrase is longer than 1 MiB');
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
