/** What stands in the lines of an audit log. */
import { pseudonymOf } from './names.ts';

/** What is told of one operation. */
export interface Asked {
  readonly operation: string;
  /** The label of the caller. */
  readonly who: string;
  /** The address of the caller; empty for the server itself. */
  readonly from: string;
  /** 32 hexadecimal digits. */
  readonly trace?: string;
  /** Tells the record from all others; only its pseudonym reaches the log. */
  readonly name?: Buffer | undefined;
  /** The same for a whole namespace. */
  readonly namespace?: Buffer | undefined;
  /** Of the keyring, where it is about that. */
  readonly epoch?: number | undefined;
}

/** A line about an operation, at this moment. `nameKey` has 32 bytes. */
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

/** A line of the log about itself. */
export function ownLine(
  op: 'audit-open' | 'audit-close' | 'audit-recover' | 'audit-lost',
  facts: object,
): object {
  return { time: new Date().toISOString(), op, ...facts };
}
