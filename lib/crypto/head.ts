/** The head of a stored record: what the store keeps beside the body and can give alone. */

import { altered } from './altered.ts';
import { HEADER_BYTES, HEADER_KEPT_BYTES } from './header.ts';
import { BUCKETS_BYTES } from './pseudonym.ts';

const LENGTH_BYTES = 2;

export interface Head {
  /** C of the pseudonym. */
  readonly sealedId: Buffer;
  /** The envelope header; `decodeHeader` reads it. */
  readonly header: Buffer;
}

/** u16 length of the sealed ID ‖ sealed ID ‖ envelope header; at most 2,168 bytes. */
export function encodeHead(sealedId: Buffer, header: Buffer): Buffer {
  const headerAt = LENGTH_BYTES + sealedId.length;
  const head = Buffer.allocUnsafe(headerAt + header.length);
  head.writeUInt16BE(sealedId.length);
  sealedId.copy(head, LENGTH_BYTES);
  header.copy(head, headerAt);
  return head;
}

/**
 * Takes a head apart; what it gives back are slices of it.
 *
 * @throws ALTERED if either part has a length that it cannot have
 */
export function decodeHead(head: Buffer): Head {
  if (head.length < LENGTH_BYTES) throw altered('the head is cut short');
  const sealedIdBytes = head.readUInt16BE(0);
  const headerAt = LENGTH_BYTES + sealedIdBytes;
  const headerBytes = head.length - headerAt;
  const fits = headerBytes === HEADER_BYTES || headerBytes === HEADER_KEPT_BYTES;
  if (!fits || !BUCKETS_BYTES.includes(sealedIdBytes)) throw altered('the head is malformed');
  return { sealedId: head.subarray(LENGTH_BYTES, headerAt), header: head.subarray(headerAt) };
}
