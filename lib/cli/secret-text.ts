/** Secrets that people write, such as passphrases. */
import { readFile } from 'node:fs/promises';
import { fileError, usage } from './terminal.ts';

/** The text of a file, or of standard input for `-`, without its line end. Rejects with `USAGE`. */
export async function readSecretText(path: string): Promise<Buffer> {
  const text = await readFile(path === '-' ? '/dev/stdin' : path).catch((cause: unknown) => {
    throw fileError('cannot read the passphrase from', path, cause);
  });
  let end = text.length;
  while (end > 0 && (text[end - 1] === 0x0a || text[end - 1] === 0x0d)) end--;
  if (end > 0) return text.subarray(0, end);
  throw usage('the passphrase is empty');
}
