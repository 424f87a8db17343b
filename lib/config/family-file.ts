/** What a configuration file of the family's Go or Python servers says of their stored data. */
import { EncServerError } from '../errors.ts';
import { parseText } from './parse.ts';
import { readTextFile } from './text-file.ts';

export interface FamilySettings {
  /** `idKeyStr`: its characters, taken as bytes, are the key. */
  readonly idKey: Buffer;
  /** `idNonceStr`, in the same way. */
  readonly idNonce: Buffer;
  readonly mongoURI: string | undefined;
}

const KEY_BYTES: readonly number[] = [16, 24, 32];
const NONCE_BYTES = 12;

/** @throws EncServerError `BAD_CONFIG`, which quotes nothing of the file */
export async function readFamilySettings(path: string): Promise<FamilySettings> {
  const parsed = await parseText(await readTextFile(path, path), path);
  const idKey = Buffer.from(textOf(parsed, 'feServerConfigs', 'idKeyStr') ?? '');
  const idNonce = Buffer.from(textOf(parsed, 'feServerConfigs', 'idNonceStr') ?? '');
  if (!KEY_BYTES.includes(idKey.length)) {
    throw bad(path, `idKeyStr has ${idKey.length} characters, not 16, 24 or 32`);
  }
  if (idNonce.length !== NONCE_BYTES) {
    throw bad(path, `idNonceStr has ${idNonce.length} characters, not ${NONCE_BYTES}`);
  }
  return { idKey, idNonce, mongoURI: textOf(parsed, 'beServerConfigs', 'mongoURI') };
}

function textOf(parsed: unknown, section: string, name: string): string | undefined {
  const value = memberOf(memberOf(parsed, section), name);
  return typeof value === 'string' ? value : undefined;
}

function memberOf(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null;
  return isObject && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function bad(path: string, why: string): EncServerError {
  const hint = 'name the configuration file that the front end of the family runs with';
  return new EncServerError('BAD_CONFIG', `${path}: ${why}`, { hint });
}
