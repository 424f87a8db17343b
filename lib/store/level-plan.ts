/** What a write becomes in LevelDB, given the stored value. Pure. */
import { EncServerError } from '../errors.ts';
import type { Write } from './group.ts';
import { bodyKey, expiryKey } from './keys.ts';
import type { Edit } from './level-database.ts';
import { drawRevision } from './revision.ts';
import { type Condition, type PutResult, TABLE } from './store.ts';
import {
  type Decoded,
  damaged,
  decodeOrUndefined,
  encodeValue,
  hasBodyApart,
  hasRevision,
  isExpired,
  liesApart,
} from './value.ts';

/** What a planned write will have done. */
export interface Plan {
  readonly result: PutResult;
  /** By how much the number of records changes: -1, 0 or 1. */
  readonly added: number;
}

const NO_REVISION = Buffer.alloc(0);

/**
 * Plans a write and appends its edits. Appends nothing if it throws, or if there is nothing to
 * change.
 *
 * @param raw - the bytes under the key, if any
 * @throws EncServerError `CONFLICT`, `STORE_DAMAGED`
 */
export function planWrite(
  write: Write,
  raw: Buffer | undefined,
  nowMs: number,
  edits: Edit[],
): Plan {
  const old = raw === undefined ? undefined : decodeOrUndefined(raw);
  if (raw !== undefined && old === undefined) return planOverDamaged(write, edits);
  const live = old !== undefined && !isExpired(old, nowMs) ? old : undefined;
  if (!holds(write.condition, live)) {
    throw new EncServerError('CONFLICT', 'what is stored is not what the write expects');
  }
  if (write.kind === 'put') return planPut(write, old, live !== undefined, edits);
  const isMeant = write.kind === 'delete' || live === undefined;
  if (old === undefined || !isMeant) return { result: nothingDone(), added: 0 };
  edits.push({ type: 'del', key: write.key });
  dropBeside(write.key, old, edits);
  const replaced = write.kind === 'expire' || live !== undefined;
  return { result: { revision: NO_REVISION, replaced }, added: -recordsOf(write.key) };
}

function planPut(write: Write, old: Decoded | undefined, replaced: boolean, edits: Edit[]): Plan {
  const { key, value } = write;
  if (value === undefined) throw new EncServerError('INTERNAL', 'a put without a value');
  const revision = value.revision ?? drawRevision();
  // The old entries go first: LevelDB applies a batch in order, and the keys may be the same.
  if (old !== undefined) dropBeside(key, old, edits);
  edits.push({ type: 'put', key, value: encodeValue(value, revision) });
  if (liesApart(value.body.length)) {
    edits.push({ type: 'put', key: bodyKey(key), value: value.body });
  }
  if (value.expiryMs !== 0) {
    edits.push({ type: 'put', key: expiryKey(value.expiryMs, key), value: Buffer.alloc(0) });
  }
  return { result: { revision, replaced }, added: old === undefined ? recordsOf(key) : 0 };
}

/**
 * A value that cannot be read can still be replaced or deleted. It is not known whether its body
 * lies apart, so the key where it would be is deleted too.
 */
function planOverDamaged(write: Write, edits: Edit[]): Plan {
  const { key, kind, condition } = write;
  if (kind === 'expire' || condition.kind !== 'always') throw damaged(key);
  edits.push({ type: 'del', key: bodyKey(key) });
  if (kind === 'put') {
    const { result } = planPut(write, undefined, true, edits);
    return { result, added: 0 };
  }
  edits.push({ type: 'del', key });
  return { result: { revision: NO_REVISION, replaced: true }, added: -recordsOf(key) };
}

/** What a key adds to the number of records; facts about the store are not records. */
function recordsOf(key: Buffer): number {
  return key[0] === TABLE.META ? 0 : 1;
}

/** Deletes the entries that a value has under other keys. */
function dropBeside(key: Buffer, old: Decoded, edits: Edit[]): void {
  if (hasBodyApart(old)) edits.push({ type: 'del', key: bodyKey(key) });
  if (old.expiryMs !== 0) edits.push({ type: 'del', key: expiryKey(old.expiryMs, key) });
}

function holds(condition: Condition, live: Decoded | undefined): boolean {
  if (condition.kind === 'always') return true;
  if (condition.kind === 'absent') return live === undefined;
  return live !== undefined && hasRevision(live, condition.revision);
}

function nothingDone(): PutResult {
  return { revision: NO_REVISION, replaced: false };
}
