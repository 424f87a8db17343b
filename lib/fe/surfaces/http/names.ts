/** How names and keys stand in paths, queries and headers. */
import type { Caller } from '../../../access.ts';
import type { RecordName } from '../../../crypto/envelope.ts';
import { decodeHexKey } from '../../../protocol/hex.ts';
import { decodePercent } from '../../../protocol/percent.ts';
import { checkCallersNamespace } from '../../reserved.ts';

const NO_BYTES = Buffer.alloc(0);

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
