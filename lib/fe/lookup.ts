/**
 * How the store is searched for a record: everywhere that it may lie, and deciding what counts as
 * absent.
 */

import type { BeClient, ScanItem, StoredHead } from '../be/client.ts';
import { decodeHeader, type RecordName } from '../crypto/envelope.ts';
import { type Claim, decodeHead, GRAVE_HEAD, isGrave } from '../crypto/head.ts';
import { codeOf, orUndefined } from '../errors.ts';
import { hasEnded, isExpired, notFound } from './calls.ts';
import type { Ring } from './ring.ts';

/** What is used of the back end. */
export type RecordStore = Pick<
  BeClient,
  'put' | 'get' | 'head' | 'remove' | 'scan' | 'takesConditions'
>;

/** What is known of a stored record without its body. */
export interface FoundHead {
  readonly header: Buffer;
  /** 8 bytes. */
  readonly revision: Buffer;
  /** Size of the sealed body. */
  readonly bodyBytes: number;
  /** When the store expires it, in milliseconds since 1970; 0 is never. */
  readonly expiryMs: number;
  readonly claim: Claim | undefined;
  /** When the store was asked, in milliseconds since 1970. */
  readonly askedAtMs: number;
}

export interface FoundRecord extends FoundHead {
  readonly body: Buffer;
}

const NO_BYTES = Buffer.alloc(0);
/** Items of one page of a scan. */
const SCAN_ITEMS = 1_000;

/** Everything under a prefix, page by page, each within `timeoutMs` if that is given. */
export async function* scanAll(
  be: RecordStore,
  prefix: Buffer,
  epoch: number,
  timeoutMs?: number,
): AsyncGenerator<ScanItem> {
  let after: Buffer | undefined;
  do {
    const page = await be.scan(prefix, after, SCAN_ITEMS, { epoch, timeoutMs });
    yield* page.items;
    after = page.next;
  } while (after !== undefined);
}

/** What is stored in the place of a deleted record. */
export const GRAVE = { head: GRAVE_HEAD, body: NO_BYTES, expiryMs: 0 };

/**
 * Whether a grave lies there, or a record that has expired by the time in its header. A record that
 * is damaged is not gone: it can still be replaced and deleted.
 */
export function isGone({ head }: StoredHead, askedAtMs: number): boolean {
  if (isGrave(head)) return true;
  const endMs = endOf(head);
  return endMs !== undefined && hasEnded(endMs, askedAtMs);
}

/** When a record ends, in milliseconds since 1970; 0 is never, undefined if its head is damaged. */
export function endOf(head: Buffer): number | undefined {
  try {
    return decodeHeader(decodeHead(head).header).expiryMs;
  } catch (error) {
    if (codeOf(error) === 'ALTERED') return undefined;
    throw error;
  }
}

/** Rejects with `NOT_FOUND`. The body is empty if only the head is read. */
export async function lookUp(
  ring: Ring,
  name: RecordName,
  look: (storeKey: Buffer) => Promise<StoredHead & { readonly body?: Buffer | undefined }>,
): Promise<FoundRecord> {
  for (;;) {
    const askedAtMs = Date.now();
    const stored = await lookEverywhere(ring, name, look);
    if (isGrave(stored.head)) throw notFound();
    const { revision, bodyBytes, expiryMs, body = NO_BYTES } = stored;
    const { header, claim } = decodeHead(stored.head);
    // A record that expired on its way says nothing of what is there now.
    const isSure = expiryMs === 0 || isExpired(header, askedAtMs);
    if (isSure || !isExpired(header, Date.now())) {
      return { header, claim, revision, bodyBytes, expiryMs, askedAtMs, body };
    }
  }
}

function lookEverywhere<T>(
  { active, old }: Ring,
  name: RecordName,
  look: (storeKey: Buffer) => Promise<T>,
): Promise<T> {
  const storeKey = active.storeKey(name);
  if (old === undefined) return look(storeKey);
  return lookInBoth(storeKey, old.storeKey(name), look);
}

async function lookInBoth<T>(
  active: Buffer,
  old: Buffer,
  look: (storeKey: Buffer) => Promise<T>,
): Promise<T> {
  return (await orAbsent(look(active))) ?? (await orAbsent(look(old))) ?? (await look(active));
}

export async function orAbsent<T>(found: Promise<T>): Promise<T | undefined> {
  return await orUndefined(found, 'NOT_FOUND');
}

export async function orConflict<T>(done: Promise<T>): Promise<T | undefined> {
  return await orUndefined(done, 'CONFLICT');
}
