/** The content of lines in an audit log. */
import { pseudonymOf } from './names.ts';

/** What is recorded of one operation. */
export interface Asked {
  readonly operation: string;
  /** The label of the caller. */
  readonly who: string;
  /** The address of the caller; empty for the server itself. */
  readonly from: string;
  /** 32 hexadecimal digits. */
  readonly trace?: string;
  /** Identifies the record; only its pseudonym reaches the log. */
  readonly name?: Buffer | undefined;
  /** The same for a whole namespace. */
  readonly namespace?: Buffer | undefined;
  /** Epoch of the keyring, for operations on it. */
  readonly epoch?: number | undefined;
}

/** A line about an operation, stamped with the current time. `nameKey` has 32 bytes. */
export function operationLine(asked: Asked, outcome: string, nameKey: Buffer): object {
  const { operation, who, from, trace, name, namespace, epoch } = asked;
  return {
    time: new Date().toISOString(),
    op: operation,
    who,
    from,
    trace,
    record: name && pseudonymOf(nameKey, name),
    namespace: namespace && pseudonymOf(nameKey, namespace),
    epoch,
    outcome,
  };
}

/** A line about the log itself. */
export function ownLine(
  op: 'audit-open' | 'audit-close' | 'audit-recover' | 'audit-lost',
  facts: object,
): object {
  return { time: new Date().toISOString(), op, ...facts };
}
