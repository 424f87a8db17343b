/** Reading from LevelDB: single values, many of them in one lookup, and pages. */
import { EncServerError } from '../errors.ts';
import { bodyKey, endOfPrefix, expiredRange, keyOfExpiryKey } from './keys.ts';
import { checkRange, keyAfter, lastBeforeDamage } from './level-damage.ts';
import {
  isDamage,
  type LevelDatabase,
  type LevelRange,
  type LevelSnapshot,
} from './level-database.ts';
import { getEach, type LookedUp } from './level-each.ts';
import type { QuickReads } from './level-quick.ts';
import type { Read } from './read.ts';
import type { ScanItem, ScanPage } from './store.ts';
import {
  type Decoded,
  damaged,
  decodeValue,
  hasBodyApart,
  inlineBody,
  isExpired,
  shownKey,
  storedHead,
  storedValue,
} from './value.ts';

/** Bodies loaded by one lookup, in bytes; a larger one is loaded alone. */
const BODIES_BYTES_MAX = 16 * 1024 * 1024;
/** Bytes that a scan takes from LevelDB at once. */
const SCAN_CHUNK_BYTES = 1024 * 1024;
const SCAN_CHUNK_ITEMS = 1000;

interface BodyRead {
  readonly read: Read;
  readonly decoded: Decoded;
}

/**
 * Any failure of a read, as the error that the contract names.
 *
 * @param where - in the database, as far as it is known
 */
export function readError(thrown: unknown, where = ''): EncServerError {
  if (thrown instanceof EncServerError) return thrown;
  if (isDamage(thrown)) {
    const words = `the database is damaged${where === '' ? '' : ` ${where}`}`;
    return new EncServerError('STORE_DAMAGED', words, { cause: thrown });
  }
  return new EncServerError('UNAVAILABLE', 'the store could not be read', { cause: thrown });
}

/**
 * Reads many values from one snapshot, so that head and body belong together. Settles every read,
 * and never rejects.
 */
export async function readValues(
  database: LevelDatabase,
  reads: readonly Read[],
  snapshot: LevelSnapshot,
  nowMs: number,
  quick: QuickReads,
): Promise<void> {
  try {
    const keys = reads.map((read) => read.key);
    const found = await quick.getEach(database, keys, { snapshot });
    const apart: BodyRead[] = [];
    for (const [index, read] of reads.entries()) answerOrAsk(read, found[index], nowMs, apart);
    for (let start = 0; start < apart.length; ) {
      const end = endOfChunk(apart, start);
      await readBodies(database, apart.slice(start, end), snapshot);
      start = end;
    }
  } catch (thrown) {
    const error = readError(thrown);
    // Has no effect on those that were answered already.
    for (const read of reads) read.reject(error);
  }
}

/** Answers a read, or notes that its body must be read too. */
function answerOrAsk(read: Read, raw: LookedUp, nowMs: number, apart: BodyRead[]): void {
  try {
    if (raw instanceof Error) throw raw;
    const decoded = raw === undefined ? undefined : decodeValue(raw, read.key);
    if (decoded === undefined || isExpired(decoded, nowMs)) read.resolve(undefined);
    else if (decoded.bodyBytes > read.bodyBytesMax) read.resolve(storedValue(decoded, undefined));
    else if (hasBodyApart(decoded)) apart.push({ read, decoded });
    else read.resolve(storedValue(decoded, inlineBody(decoded)));
  } catch (thrown) {
    read.reject(readError(thrown, atKey(read.key)));
  }
}

/** Where the damage is, of which one key is known. */
export function atKey(key: Buffer): string {
  return `at ${shownKey(key)}`;
}

function endOfChunk(apart: readonly BodyRead[], start: number): number {
  let bytes = 0;
  let end = start;
  for (const { decoded } of apart.slice(start)) {
    if (end > start && bytes + decoded.bodyBytes > BODIES_BYTES_MAX) break;
    bytes += decoded.bodyBytes;
    end++;
  }
  return end;
}

async function readBodies(
  database: LevelDatabase,
  apart: readonly BodyRead[],
  snapshot: LevelSnapshot,
): Promise<void> {
  const keys = apart.map(({ read }) => bodyKey(read.key));
  // Large bodies would push everything else out of the cache.
  const bodies = await getEach(database, keys, { snapshot, fillCache: false });
  for (const [index, { read, decoded }] of apart.entries()) {
    const body = bodies[index];
    if (body instanceof Error) read.reject(readError(body, atKey(read.key)));
    else if (body?.length === decoded.bodyBytes) read.resolve(storedValue(decoded, body));
    else read.reject(damaged(read.key));
  }
}

/**
 * One page of a scan, as of one moment. Without a snapshot, the iterator uses its own.
 *
 * @throws EncServerError `STORE_DAMAGED`, `UNAVAILABLE`
 */
export async function readPage(
  database: LevelDatabase,
  request: { prefix: Buffer; after: Buffer | undefined; limit: number },
  nowMs: number,
  snapshot: LevelSnapshot | undefined,
): Promise<ScanPage> {
  const { prefix, after, limit } = request;
  const isInside = after !== undefined && after.compare(prefix) >= 0;
  const range: LevelRange = {
    ...(isInside ? { gt: after } : { gte: prefix }),
    lt: endOfPrefix(prefix),
    highWaterMarkBytes: SCAN_CHUNK_BYTES,
    ...(snapshot === undefined ? {} : { snapshot }),
  };
  try {
    const page = await readItems(database, range, limit, nowMs);
    const last = page.items.at(-1)?.key;
    if (page.more && last !== undefined) {
      await checkRange(database, { ...range, lt: keyAfter(last) });
    }
    return page;
  } catch (thrown) {
    if (!isDamage(thrown)) throw readError(thrown);
    const last = await lastBeforeDamage(database, range);
    throw readError(thrown, `behind ${shownKey(last ?? after ?? prefix)}`);
  }
}

async function readItems(
  database: LevelDatabase,
  range: LevelRange,
  limit: number,
  nowMs: number,
): Promise<ScanPage> {
  const items: ScanItem[] = [];
  const iterator = database.iterator(range);
  try {
    for (;;) {
      const size = Math.min(limit + 1 - items.length, SCAN_CHUNK_ITEMS);
      const entries = await iterator.nextv(size);
      if (entries.length === 0) return { items, more: false };
      for (const [key, raw] of entries) {
        const decoded = decodeValue(raw, key);
        if (isExpired(decoded, nowMs)) continue;
        if (items.length === limit) return { items, more: true };
        items.push({ key, ...storedHead(decoded) });
      }
    }
  } finally {
    await iterator.close();
  }
}

/**
 * Keys of values whose time has come, the oldest first.
 *
 * @throws EncServerError `UNAVAILABLE`, `STORE_DAMAGED`
 */
export async function readExpired(
  database: LevelDatabase,
  limit: number,
  nowMs: number,
): Promise<Buffer[]> {
  try {
    const iterator = database.keys({ ...expiredRange(nowMs), limit });
    const keys: Buffer[] = [];
    try {
      for (;;) {
        const entries = await iterator.nextv(SCAN_CHUNK_ITEMS);
        if (entries.length === 0) return keys;
        for (const entry of entries) keys.push(keyOfExpiryKey(entry));
      }
    } finally {
      await iterator.close();
    }
  } catch (thrown) {
    throw readError(thrown);
  }
}
