/**
 * Records that can be read once. The first read with the right key claims the record under its
 * reader's random token. From then on the store has a tombstone in its place, and for a short while
 * a copy of what was read, in a place that only that token leads to: a reader whose answer was lost
 * can ask again. Both expire by themselves. A wrong key claims nothing.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { BeCall } from '../be/client.ts';
import { decodeHeader, type RecordName } from '../crypto/envelope.ts';
import type { Claim } from '../crypto/head.ts';
import { EncServerError } from '../errors.ts';
import { orAbsent } from './lookup.ts';
import type { FoundRecord, Placement } from './placement.ts';
import { CLAIMS_NAMESPACE } from './reserved.ts';
import { ALWAYS, ifUnchanged } from './write-condition.ts';

/** How long the reader that claimed a record may read it again, in milliseconds. */
const READ_AGAIN_MS = 60_000;
/** How long the server reports that a record was read, in milliseconds. */
const TOMBSTONE_MS = 24 * 3_600_000;
const NO_BYTES = Buffer.alloc(0);
const NO_READER = Buffer.alloc(32);

/**
 * Claims a record that was unclaimed, and that its key opened. When it resolves, nobody else can
 * read it. Rejects with `CONFLICT` if somebody else was first, `UNKNOWN_OUTCOME`.
 *
 * @param reader 16 to 64 random bytes; without them, nobody may read the record again
 */
export async function claimRecord(
  placement: Placement,
  name: RecordName,
  found: FoundRecord,
  reader: Buffer | undefined,
  call: BeCall,
): Promise<void> {
  const atMs = Date.now();
  const { header, body, revision } = found;
  if (reader !== undefined) {
    // Stored first: if only this succeeds, the record can still be claimed, and nobody looks here.
    const copy = { header, body, expiryMs: endOf(found, atMs + READ_AGAIN_MS) };
    await placement.put(copyName(name, header, reader), copy, ALWAYS, call);
  }
  const claim = { atMs, reader: reader === undefined ? NO_READER : hashOf(reader) };
  const tombstone = { header, body: NO_BYTES, claim, expiryMs: endOf(found, atMs + TOMBSTONE_MS) };
  await placement.put(name, tombstone, ifUnchanged(revision), call);
}

/**
 * The copy for the reader that claimed the record. Rejects with `ALREADY_READ` for everyone else,
 * and when it is gone; `LARGE` as {@link Placement.get} does.
 */
export async function readAgain(
  placement: Placement,
  name: RecordName,
  { header, claim }: { readonly header: Buffer; readonly claim: Claim },
  reader: Buffer | undefined,
  acceptBytes: number,
  call: BeCall,
): Promise<FoundRecord> {
  const isReader = reader !== undefined && timingSafeEqual(hashOf(reader), claim.reader);
  if (!isReader || Date.now() > claim.atMs + READ_AGAIN_MS) throw alreadyRead(claim);
  const copy = await orAbsent(placement.get(copyName(name, header, reader), acceptBytes, call));
  if (copy === undefined) throw alreadyRead(claim);
  return copy;
}

export function alreadyRead({ atMs }: Claim): EncServerError {
  const words = `the record was read at ${new Date(atMs).toISOString()}`;
  return new EncServerError('ALREADY_READ', words);
}

/** Never later than the record's own expiry. */
function endOf({ expiryMs }: FoundRecord, atMs: number): number {
  return expiryMs === 0 ? atMs : Math.min(expiryMs, atMs);
}

/**
 * The place of the copy: nobody can name it without the token. The nonce keeps a late attempt at an
 * earlier record of the name away from it.
 */
function copyName({ namespace, id }: RecordName, header: Buffer, reader: Buffer): RecordName {
  const { nonce } = decodeHeader(header);
  const lengths = Buffer.alloc(4);
  lengths.writeUInt16BE(namespace.length, 0);
  lengths.writeUInt16BE(id.length, 2);
  const place = createHash('sha256');
  for (const part of [lengths, namespace, id, nonce, reader]) place.update(part);
  return { namespace: CLAIMS_NAMESPACE, id: place.digest() };
}

function hashOf(reader: Buffer): Buffer {
  return createHash('sha256').update(reader).digest();
}
