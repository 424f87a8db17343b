/** The head of a stored record: what the store keeps besides the body and can return alone. */

import { altered } from './altered.ts';
import { HEADER_BYTES, HEADER_KEPT_BYTES } from './header.ts';
import { BUCKETS_BYTES } from './pseudonym.ts';

const LENGTH_BYTES = 2;
const CLAIM_TIME_BYTES = 8;
/** SHA-256. */
const CLAIM_READER_BYTES = 32;
const CLAIM_BYTES = CLAIM_TIME_BYTES + CLAIM_READER_BYTES;

/** Marks a record that could be read once and has been read. Its body is gone. */
export interface Claim {
  /** When, in milliseconds since 1970 (UTC). */
  readonly atMs: number;
  /** SHA-256 of the reader's token, 32 bytes; zeros if there was none. */
  readonly reader: Buffer;
}

/**
 * The head of a grave, which marks where a record was deleted while others of its kind were being
 * moved. It has no sealed ID, no header, and no body.
 */
export const GRAVE_HEAD = Buffer.of(0, 0);

export function isGrave(head: Buffer): boolean {
  return head.equals(GRAVE_HEAD);
}

export interface Head {
  /** C of the pseudonym. */
  readonly sealedId: Buffer;
  /** The envelope header; `decodeHeader` reads it. */
  readonly header: Buffer;
  readonly claim: Claim | undefined;
}

/** u16 length of the sealed ID ‖ sealed ID ‖ envelope header [‖ claim]; at most 2,208 bytes. */
export function encodeHead(sealedId: Buffer, header: Buffer, claim?: Claim): Buffer {
  const headerAt = LENGTH_BYTES + sealedId.length;
  const claimAt = headerAt + header.length;
  const head = Buffer.allocUnsafe(claimAt + (claim === undefined ? 0 : CLAIM_BYTES));
  head.writeUInt16BE(sealedId.length);
  sealedId.copy(head, LENGTH_BYTES);
  header.copy(head, headerAt);
  if (claim !== undefined) {
    head.writeBigUInt64BE(BigInt(claim.atMs), claimAt);
    claim.reader.copy(head, claimAt + CLAIM_TIME_BYTES, 0, CLAIM_READER_BYTES);
  }
  return head;
}

/**
 * Takes a head apart; the results are slices of it. The four possible lengths differ, so that the
 * length tells which parts are there.
 *
 * @throws EncServerError `ALTERED` if a part has a length that it cannot have
 */
export function decodeHead(head: Buffer): Head {
  if (head.length < LENGTH_BYTES) throw altered('the head is cut short');
  const sealedIdBytes = head.readUInt16BE(0);
  const headerAt = LENGTH_BYTES + sealedIdBytes;
  const rest = head.length - headerAt;
  const claimed = rest === HEADER_BYTES + CLAIM_BYTES || rest === HEADER_KEPT_BYTES + CLAIM_BYTES;
  const claimAt = claimed ? head.length - CLAIM_BYTES : head.length;
  const headerBytes = claimAt - headerAt;
  const fits = headerBytes === HEADER_BYTES || headerBytes === HEADER_KEPT_BYTES;
  if (!fits || !BUCKETS_BYTES.includes(sealedIdBytes)) throw altered('the head is malformed');
  return {
    sealedId: head.subarray(LENGTH_BYTES, headerAt),
    header: head.subarray(headerAt, claimAt),
    claim: claimed ? decodeClaim(head.subarray(claimAt)) : undefined,
  };
}

function decodeClaim(bytes: Buffer): Claim {
  const atMs = bytes.readUInt32BE(0) * 2 ** 32 + bytes.readUInt32BE(4);
  if (!Number.isSafeInteger(atMs)) throw altered('the time of the claim is out of bounds');
  return { atMs, reader: bytes.subarray(CLAIM_TIME_BYTES) };
}
