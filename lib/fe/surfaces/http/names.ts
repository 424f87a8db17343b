/** How names and keys stand in paths, queries and headers. */
import type { Caller } from '../../../access.ts';
import type { RecordName } from '../../../crypto/envelope.ts';
import { decodeHexKey } from '../../../protocol/hex.ts';
import { checkCallersNamespace } from '../../reserved.ts';

const PERCENT = 0x25;
const NO_BYTES = Buffer.alloc(0);

/** The bytes of a percent-encoded text whose form was checked (RFC 3986 section 2.1). */
export function decodePercent(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (!text.includes('%')) return bytes;
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === PERCENT) {
      bytes[length++] = Number.parseInt(text.slice(at + 1, at + 3), 16);
      at += 2;
    } else {
      bytes[length++] = byte;
    }
  }
  return bytes.subarray(0, length);
}

/**
 * The name of a record from a caller: who may touch one namespace alone need not name it.
 *
 * @throws EncServerError `INVALID_NAMESPACE` if the namespace is reserved
 */
export function nameOf(id: Buffer, namespace: string | undefined, caller: Caller): RecordName {
  if (namespace === undefined) return { namespace: caller.namespace ?? NO_BYTES, id };
  const bytes = decodePercent(namespace);
  checkCallersNamespace(bytes);
  return { namespace: bytes, id };
}

/** A key whose form was checked. */
export function keyOf(hex: string): Buffer;
export function keyOf(hex: string | undefined): Buffer | undefined;
export function keyOf(hex: string | undefined): Buffer | undefined {
  return hex === undefined ? undefined : decodeHexKey(Buffer.from(hex, 'latin1'));
}
