/** Under what condition a record is written or deleted. */
import { EncServerError } from '../errors.ts';

/** A revision has 8 bytes. */
export type WriteCondition =
  | { readonly kind: 'always' | 'absent' }
  | {
      readonly kind: 'revision';
      readonly revision: Buffer;
      /** Whether the front end has looked, and what it found under this revision had not ended. */
      readonly isSeen?: boolean;
    };

export const ALWAYS: WriteCondition = { kind: 'always' };
export const IF_ABSENT: WriteCondition = { kind: 'absent' };

export function ifRevision(revision: Buffer): WriteCondition {
  return { kind: 'revision', revision };
}

/** That what was looked at, and had not ended, is still there. */
export function ifUnchanged(revision: Buffer): WriteCondition {
  return { kind: 'revision', revision, isSeen: true };
}

/** The condition does not hold. */
export function changed(): EncServerError {
  return new EncServerError('CONFLICT', 'the record has another revision');
}
