/**
 * Conditional requests (RFC 9110 section 13). The entity tag of a record is its revision, 16
 * hexadecimal digits in quotes; it is always strong.
 */
import { codeOf } from '../../../errors.ts';
import type { RequestContext } from '../../../net/request.ts';
import { despiteOthers } from '../../despite-others.ts';
import {
  ALWAYS,
  IF_ABSENT,
  ifRevision,
  ifUnchanged,
  type WriteCondition,
} from '../../write-condition.ts';
import { StatusError } from './answers.ts';
import type { RecordHeaders } from './schemas.ts';

type Conditions = Pick<RecordHeaders, 'if-match' | 'if-none-match'>;

/** Asks for the current revision; undefined if there is no record. */
type AskRevision = () => Promise<Buffer | undefined>;

/** The form of the whole list has been checked before. */
const TAG = /(?<weak>W\/)?"(?<opaque>[^"]*)"/g;
const REVISION = /^[0-9a-f]{16}$/;

export function entityTag(revision: Buffer): string {
  return `"${revision.toString('hex')}"`;
}

/**
 * Writes under a request's conditions. If exactly one revision, or no record, must be there, the
 * store decides; otherwise the record is looked at, and must be unchanged when it is written. If
 * somebody else's write comes in between, it is looked at again: the conditions may still hold.
 *
 * @throws StatusError 412, `CONFLICT`, when the conditions do not hold; `OVERLOADED` as
 *   {@link despiteOthers}
 */
export async function writeUnder<T>(
  headers: Conditions,
  context: RequestContext,
  ask: AskRevision,
  write: (condition: WriteCondition) => Promise<T>,
): Promise<T> {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  const stated = statedCondition(match, noneMatch);
  if (stated !== undefined) return await write(stated).catch(conflictAs(stated));
  const written = await despiteOthers(ALWAYS, context, async () => {
    const revision = await ask();
    if (!holds(match, noneMatch, revision)) return undefined;
    return { done: await write(revision === undefined ? IF_ABSENT : ifUnchanged(revision)) };
  });
  if (written === undefined) throw preconditionFailed();
  return written.done;
}

/** What the store can decide by itself; undefined if the record must be looked at. */
function statedCondition(
  match: string | undefined,
  noneMatch: string | undefined,
): WriteCondition | undefined {
  if (match === undefined && noneMatch === undefined) return ALWAYS;
  if (match === undefined && noneMatch === '*') return IF_ABSENT;
  if (noneMatch !== undefined || match === undefined || match === '*') return undefined;
  const [tag, ...others] = tagsOf(match);
  const isOne = tag !== undefined && others.length === 0 && !tag.weak && REVISION.test(tag.opaque);
  return isOne ? ifRevision(Buffer.from(tag.opaque, 'hex')) : undefined;
}

/**
 * Whether a read is answered with the record.
 *
 * @throws StatusError 412, `CONFLICT`, when If-Match does not hold
 */
export function isModified(headers: Conditions, revision: Buffer): boolean {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (!holds(match, undefined, revision)) throw preconditionFailed();
  return holds(undefined, noneMatch, revision);
}

/** Whether a read is answered with the record, rather than with 304 or 412. */
export function isSent(headers: Conditions, revision: Buffer): boolean {
  return holds(headers['if-match'], headers['if-none-match'], revision);
}

/** 412, for a condition that did not hold. */
export function preconditionFailed(): StatusError {
  return new StatusError(412, 'CONFLICT', 'the record is not the one that the request is for');
}

/** The error of a refused write: 412 if its own condition failed. */
export function conflictAs({ kind }: WriteCondition): (error: unknown) => never {
  return (error) => {
    const isConflict = codeOf(error) === 'CONFLICT';
    throw isConflict && kind !== 'always' ? preconditionFailed() : error;
  };
}

function holds(
  match: string | undefined,
  noneMatch: string | undefined,
  revision: Buffer | undefined,
): boolean {
  const opaque = revision?.toString('hex');
  if (match !== undefined) {
    if (opaque === undefined) return false;
    // Compared as strong tags (section 13.1.1): a weak one never matches.
    const found = match === '*' || tagsOf(match).some((tag) => !tag.weak && tag.opaque === opaque);
    if (!found) return false;
  }
  if (noneMatch === undefined || opaque === undefined) return true;
  return noneMatch !== '*' && !tagsOf(noneMatch).some((tag) => tag.opaque === opaque);
}

interface Tag {
  readonly weak: boolean;
  readonly opaque: string;
}

function tagsOf(list: string): Tag[] {
  return [...list.matchAll(TAG)].map(({ groups }) => ({
    weak: groups?.['weak'] !== undefined,
    opaque: groups?.['opaque'] ?? '',
  }));
}
