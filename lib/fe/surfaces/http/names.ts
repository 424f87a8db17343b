/** How names and keys are written in paths, queries and headers. */
import type { Caller } from '../../../access.ts';
import type { RecordName } from '../../../crypto/envelope.ts';
import { decodeHexKey } from '../../../protocol/hex.ts';
import { decodePercent } from '../../../protocol/percent.ts';
import { namespaceFor } from '../../reserved.ts';

/** @throws EncServerError `INVALID_NAMESPACE` if the namespace is reserved */
export function nameOf(id: Buffer, namespace: string | undefined, caller: Caller): RecordName {
  const named = namespace === undefined ? undefined : decodePercent(namespace);
  return { namespace: namespaceFor(named, caller), id };
}

/** A key whose form has been checked. */
export function keyOf(hex: string): Buffer;
export function keyOf(hex: string | undefined): Buffer | undefined;
export function keyOf(hex: string | undefined): Buffer | undefined {
  return hex === undefined ? undefined : decodeHexKey(Buffer.from(hex, 'latin1'));
}
