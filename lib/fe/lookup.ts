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

/** Items of one page of a scan. */
const SCAN_ITEMS = 1_000;

/** All that lies under a prefix, page by page. */
export async function* scanAll(
  be: RecordStore,
  prefix: Buffer,
  epoch: number,
): AsyncGenerator<ScanItem> {
  let after: Buffer | undefined;
  do {
    const page = await be.scan(prefix, after, SCAN_ITEMS, { epoch });
    yield* page.items;
    after = page.next;
  } while (after !== undefined);
}

/** What lies where a record was deleted. */
export const GRAVE = { head: GRAVE_HEAD, body: Buffer.alloc(0), expiryMs: 0 };

/** Whether a grave lies there, or what by the time in its header is gone. */
export function isGone({ head }: StoredHead, askedAtMs: number): boolean {
  return isGrave(head) || isExpired(decodeHead(head).header, askedAtMs);
}

/** Rejects with `NOT_FOUND`. */
export async function lookUp<T extends StoredHead>(
  ring: Ring,
  name: RecordName,
  look: (storeKey: Buffer) => Promise<T>,
): Promise<{ readonly found: T; readonly head: FoundHead }> {
  for (;;) {
    const askedAtMs = Date.now();
    const found = await lookEverywhere(ring, name, look);
    if (isGrave(found.head)) throw notFound();
    const head = foundHead(found, askedAtMs);
    // What ended while it was on its way says nothing of what is there now.
    const isSure = found.expiryMs === 0 || isExpired(head.header, askedAtMs);
    if (isSure || !isExpired(head.header, Date.now())) return { found, head };
  }
}

function lookEverywhere<T>(
  { active, old }: Ring,
  name: RecordName,
  look: (storeKey: Buffer) => Promise<T>,
): Promise<T> {
  const { storeKey } = active.seal(name);
  if (old === undefined) return look(storeKey);
  return lookInBoth(storeKey, old.seal(name).storeKey, look);
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

function foundHead(stored: StoredHead, askedAtMs: number): FoundHead {
  const { revision, bodyBytes, expiryMs } = stored;
  const { header, claim } = decodeHead(stored.head);
  return { header, claim, revision, bodyBytes, expiryMs, askedAtMs };
}
