/**
 * How the store is looked into for a record: everywhere that it may lie, and telling what counts
 * as nothing.
 */

import type { BeClient, ScanItem, StoredHead } from '../be/client.ts';
import type { RecordName } from '../crypto/envelope.ts';
import { type Claim, decodeHead, GRAVE_HEAD, isGrave } from '../crypto/head.ts';
import { orUndefined } from '../errors.ts';
import { isExpired, notFound } from './calls.ts';
import type { Ring } from './ring.ts';

/** What is asked of the back end. */
export type RecordStore = Pick<BeClient, 'put' | 'get' | 'head' | 'remove' | 'scan'>;

/** What is told of a stored record without its body. */
export interface FoundHead {
  readonly header: Buffer;
  /** 8 bytes. */
  readonly revision: Buffer;
  /** Of the sealed body. */
  readonly bodyBytes: number;
  /** When the store forgets it, in milliseconds since 1970; 0 is never. */
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

/** All that lies under a prefix, page by page, each within `timeoutMs` where it is given. */
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

/** What lies where a record was deleted. */
export const GRAVE = { head: GRAVE_HEAD, body: NO_BYTES, expiryMs: 0 };

/** Whether a grave lies there, or what by the time in its header is gone. */
export function isGone({ head }: StoredHead, askedAtMs: number): boolean {
  return isGrave(head) || isExpired(decodeHead(head).header, askedAtMs);
}

/** Rejects with `NOT_FOUND`. The body is empty where only the head is looked at. */
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
    // What ended while it was on its way says nothing of what is there now.
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
