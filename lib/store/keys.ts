/**
 * Keys of a store, and the additional keys that the LevelDB store keeps for itself. The first byte
 * is the table; tables 0x00 to 0x02 belong to callers, 0x03 and 0x04 to the store.
 */
import { EncServerError } from '../errors.ts';
import { TABLE } from './store.ts';

/** Longest store key, in bytes: the table byte and a foreign token of 4096 bytes. */
export const STORE_KEY_BYTES_MAX = 4097;
/** Most items of one scan page. */
export const SCAN_LIMIT_MAX = 10_000;

const EXPIRY_TABLE = 0x03;
const BODY_TABLE = 0x04;
const EXPIRY_KEY_START = 9;

function isCallersTable(table: number | undefined): boolean {
  return table !== undefined && table <= TABLE.FOREIGN;
}

/**
 * Checks a caller's key: a table byte from 0 to 2, then 1 to 4096 bytes.
 *
 * @throws EncServerError `INVALID_FIELD`
 */
export function checkKey(key: Buffer): void {
  if (key.length >= 2 && key.length <= STORE_KEY_BYTES_MAX && isCallersTable(key[0])) return;
  throw new EncServerError(
    'INVALID_FIELD',
    `a store key has 2 to ${STORE_KEY_BYTES_MAX} bytes, the first of them 0, 1 or 2`,
  );
}

/**
 * Checks the arguments of a scan: a prefix of at least the table byte, 1 to 10,000 items.
 *
 * @throws EncServerError `INVALID_FIELD`
 */
export function checkScan(prefix: Buffer, limit: number): void {
  if (prefix.length > STORE_KEY_BYTES_MAX || !isCallersTable(prefix[0])) {
    throw new EncServerError(
      'INVALID_FIELD',
      `a prefix has 1 to ${STORE_KEY_BYTES_MAX} bytes, the first of them 0, 1 or 2`,
    );
  }
  checkLimit(limit);
}

/**
 * Checks the limit of a scan or a sweep: 1 to 10,000.
 *
 * @throws EncServerError `INVALID_FIELD`
 */
export function checkLimit(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > SCAN_LIMIT_MAX) {
    throw new EncServerError('INVALID_FIELD', `a limit is a number from 1 to ${SCAN_LIMIT_MAX}`);
  }
}

/** The first key after all keys that begin with `prefix`, whose first byte is below 0xff. */
export function endOfPrefix(prefix: Buffer): Buffer {
  let length = prefix.length;
  while (prefix[length - 1] === 0xff) length--;
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}

/** The key of a body that is too large to lie with its head. */
export function bodyKey(key: Buffer): Buffer {
  const result = Buffer.allocUnsafe(1 + key.length);
  result[0] = BODY_TABLE;
  key.copy(result, 1);
  return result;
}

/** The entry of the expiry index: `03 ‖ u64 expiry ‖ key`, in order of time. */
export function expiryKey(expiryMs: number, key: Buffer): Buffer {
  const result = Buffer.allocUnsafe(EXPIRY_KEY_START + key.length);
  result[0] = EXPIRY_TABLE;
  writeMs(result, expiryMs, 1);
  key.copy(result, EXPIRY_KEY_START);
  return result;
}

/** The range of the index whose entries have expired. */
export function expiredRange(nowMs: number): { gte: Buffer; lt: Buffer } {
  return { gte: expiryKey(0, Buffer.alloc(0)), lt: expiryKey(nowMs + 1, Buffer.alloc(0)) };
}

/** The caller's key inside an entry of the expiry index. */
export function keyOfExpiryKey(entry: Buffer): Buffer {
  return entry.subarray(EXPIRY_KEY_START);
}

/** Writes milliseconds as a u64, in two halves, which costs a fraction of using a BigInt. */
export function writeMs(target: Buffer, ms: number, offset: number): void {
  target.writeUInt32BE(Math.floor(ms / 2 ** 32), offset);
  target.writeUInt32BE(ms % 2 ** 32, offset + 4);
}

/** Reads what {@link writeMs} wrote. */
export function readMs(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * 2 ** 32 + source.readUInt32BE(offset + 4);
}
