/** The name of a record: a user ID in a namespace, and its only encoding in bytes. */

import { EncServerError } from '../errors.ts';
import { ID_BYTES_MAX, NAMESPACE_BYTES_MAX } from '../protocol/limits.ts';

export interface RecordName {
  /** 0 to 255 bytes. */
  readonly namespace: Buffer;
  /** 1 to 1024 bytes. */
  readonly id: Buffer;
}

/** Length of an encoded name besides its namespace and ID, in bytes. */
const NAME_OVERHEAD_BYTES = 3;

/** @throws EncServerError `INVALID_ID`, `INVALID_NAMESPACE` */
export function checkName(name: RecordName): void {
  const { id, namespace } = name;
  if (id.length === 0) throw new EncServerError('INVALID_ID', 'the ID is empty');
  if (id.length > ID_BYTES_MAX) {
    throw new EncServerError('INVALID_ID', `the ID is longer than ${ID_BYTES_MAX} bytes`);
  }
  checkNamespace(namespace);
}

/** @throws EncServerError `INVALID_NAMESPACE` */
export function checkNamespace(namespace: Buffer): void {
  if (namespace.length > NAMESPACE_BYTES_MAX) {
    const text = `the namespace is longer than ${NAMESPACE_BYTES_MAX} bytes`;
    throw new EncServerError('INVALID_NAMESPACE', text);
  }
}

/** Length of the encoded name, in bytes. */
export function nameBytes(name: RecordName): number {
  return NAME_OVERHEAD_BYTES + name.namespace.length + name.id.length;
}

/**
 * Writes u8 len(namespace) ‖ namespace ‖ u16 len(id) ‖ id at `offset`. Both lengths are included,
 * so that no two names have the same encoding. The name must have been checked.
 */
export function encodeName(target: Buffer, offset: number, name: RecordName): void {
  const { id, namespace } = name;
  target[offset] = namespace.length;
  namespace.copy(target, offset + 1);
  const idAt = offset + 1 + namespace.length;
  target.writeUInt16BE(id.length, idAt);
  id.copy(target, idAt + 2);
}
