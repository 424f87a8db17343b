/** Namespaces that the front end keeps for itself: no caller may name them, in any dialect. */
import { EncServerError } from '../errors.ts';

const RESERVED = Buffer.from('enc-server-ts/');

/** The items of `/data`. */
export const ITEMS_NAMESPACE: Buffer = Buffer.from('enc-server-ts/data');
/** Counters, such as the highest ID of the items. */
export const COUNTERS_NAMESPACE: Buffer = Buffer.from('enc-server-ts/counters');

/** Copies of records that could be read once, for the readers who claimed them. */
export const CLAIMS_NAMESPACE: Buffer = Buffer.from('enc-server-ts/claims');

/**
 * For every surface, on every namespace that comes from a caller.
 *
 * @throws EncServerError `INVALID_NAMESPACE`
 */
export function checkCallersNamespace(namespace: Buffer): void {
  if (!isReserved(namespace)) return;
  throw new EncServerError('INVALID_NAMESPACE', 'the namespace is reserved', {
    hint: `namespaces that begin with ${RESERVED} belong to the server itself`,
  });
}

export function isReserved(namespace: Buffer): boolean {
  return namespace.subarray(0, RESERVED.length).equals(RESERVED);
}
