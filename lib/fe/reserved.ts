/** Namespaces that the front end keeps for itself: no caller may name them, in any dialect. */
import type { Caller } from '../access.ts';
import { EncServerError } from '../errors.ts';

const RESERVED = Buffer.from('enc-server-ts/');

/** The items of `/data`. */
export const ITEMS_NAMESPACE: Buffer = Buffer.from('enc-server-ts/data');
/** Counters, such as the highest ID of the items. */
export const COUNTERS_NAMESPACE: Buffer = Buffer.from('enc-server-ts/counters');

/** Copies of records that could be read once, for the readers that claimed them. */
export const CLAIMS_NAMESPACE: Buffer = Buffer.from('enc-server-ts/claims');

const NO_BYTES = Buffer.alloc(0);

/**
 * For every surface: the namespace that a caller works in. A caller bound to one namespace need not
 * name it (an empty name is none); a reserved one is refused even if a token is bound to it (such a
 * token is for `/data`).
 *
 * @throws EncServerError `INVALID_NAMESPACE`
 */
export function namespaceFor(named: Buffer | undefined, caller: Caller): Buffer {
  const isNamed = named !== undefined && named.length > 0;
  const namespace = isNamed ? named : (caller.namespace ?? NO_BYTES);
  if (!isReserved(namespace)) return namespace;
  throw new EncServerError('INVALID_NAMESPACE', 'the namespace is reserved', {
    hint: `namespaces that begin with ${RESERVED} belong to the server itself`,
  });
}

export function isReserved(namespace: Buffer): boolean {
  return namespace.subarray(0, RESERVED.length).equals(RESERVED);
}
