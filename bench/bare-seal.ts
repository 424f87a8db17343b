/** AES-256-GCM under a fresh key and nothing else: what sealing costs at the least. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { keyInput } from '../lib/key-input.ts';

const ALGORITHM = 'aes-256-gcm';

export interface Bare {
  readonly key: Buffer;
  readonly nonce: Buffer;
  readonly sealed: Buffer;
  readonly tag: Buffer;
}

export function sealBare(record: Buffer): Bare {
  const [key, nonce] = [randomBytes(32), randomBytes(12)];
  const cipher = createCipheriv(ALGORITHM, keyInput(key), nonce);
  const sealed = cipher.update(record);
  cipher.final();
  return { key, nonce, sealed, tag: cipher.getAuthTag() };
}

/** @throws Error if the record is not what was sealed */
export function openBare({ key, nonce, sealed, tag }: Bare): Buffer {
  const decipher = createDecipheriv(ALGORITHM, keyInput(key), nonce);
  decipher.setAuthTag(tag);
  const opened = decipher.update(sealed);
  decipher.final();
  return opened;
}
