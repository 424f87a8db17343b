/** A key from a passphrase: scrypt (RFC 7914), its parameters stored in the file, and bounded. */
import { scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { KEY_BYTES } from '../../protocol/limits.ts';
import { damaged } from '../keyring-file.ts';
import { randomBytesPooled } from '../random.ts';
import type { DrawnKey, How } from './provider.ts';

/** 128 MiB and about half a second: the minimum that OWASP recommends. */
const COST = { N: 2 ** 17, r: 8, p: 1 } as const;
/** Bounds, so that whoever can write the file cannot make it cost any memory or time. */
const N_MIN = 2 ** 14;
const N_MAX = 2 ** 20;
const R_MAX = 16;
const P_MAX = 4;
const MEMORY_BYTES_MAX = 1024 * 1024 * 1024;
const SALT_BYTES = 16;

const derive = promisify<Buffer, Buffer, number, object, Buffer>(scrypt);

export async function drawFromPassphrase(passphrase: Buffer): Promise<DrawnKey> {
  const how = { ...COST, salt: randomBytesPooled(SALT_BYTES).toString('hex') };
  return { key: await keyFromPassphrase(passphrase, how), how };
}

/** Rejects with `KEYRING_DAMAGED` for parameters out of bounds. */
export async function keyFromPassphrase(passphrase: Buffer, how: How): Promise<Buffer> {
  const { N, r, p, salt } = how;
  const isCost = isWithin(N, N_MIN, N_MAX) && isWithin(r, 1, R_MAX) && isWithin(p, 1, P_MAX);
  if (!isCost || !Number.isInteger(Math.log2(N)) || 128 * N * r > MEMORY_BYTES_MAX) {
    throw damaged('the parameters of scrypt in the keyring are out of bounds');
  }
  if (typeof salt !== 'string' || !/^[0-9a-f]{32}$/.test(salt)) {
    throw damaged('the salt in the keyring is malformed');
  }
  // Besides its large table, scrypt needs a little more.
  const maxmem = 128 * N * r + 128 * r * p + 1024 * 1024;
  return await derive(passphrase, Buffer.from(salt, 'hex'), KEY_BYTES, { N, r, p, maxmem });
}

function isWithin(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}
