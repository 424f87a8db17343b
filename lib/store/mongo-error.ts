/**
 * What the driver's errors mean. Their messages are never passed on: they may quote a connection
 * string. Their names and codes are.
 */
import { EncServerError } from '../errors.ts';

/**
 * MongoDB's codes for missing rights and a wrong password, and hosted MongoDB's code for either.
 */
const REFUSALS: readonly number[] = [13, 18, 8000];
/** Hosted MongoDB's code says this, and also that there is no room. */
const HOSTED_REFUSAL = 8000;
/** MongoDB's code for a disk without room. */
const NO_ROOM = 14031;
/**
 * MongoDB's codes for a write that it lost sight of, as a router does that loses a shard: network,
 * time, shutdown, another primary.
 */
const LEAVES_OPEN: readonly number[] = [
  6, 7, 50, 89, 91, 189, 262, 9001, 10107, 11600, 11601, 11602, 13435, 13436,
];
/** MongoDB's code for a key that is there already. */
const DUPLICATE_KEY = 11000;
/** MongoDB's codes for an index that has the fields or the name of another. */
const INDEX_CONFLICTS: readonly number[] = [85, 86];

interface WriteFailure {
  readonly index: number;
  readonly code: number;
}

/** What went wrong with a group's command. */
export interface BulkFailure {
  /** Indexes of the documents that exist already. */
  readonly duplicates: ReadonlySet<number>;
  /** What MongoDB refused for another reason, by index. */
  readonly refused: ReadonlyMap<number, EncServerError>;
  /** IDs of the documents that an upsert created, by index. */
  readonly created: Readonly<Record<number, unknown>>;
  /** The error for the others, if their outcome is not known. */
  readonly unknown: EncServerError | undefined;
}

/** Name and code of an error and of what caused it, for logs: `MongoNetworkError ECONNREFUSED`. */
export function reasonOf(thrown: unknown): string {
  const parts: string[] = [];
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof EncServerError && error.cause !== undefined) continue;
    const code: unknown = 'code' in error ? error.code : undefined;
    parts.push(error instanceof EncServerError ? error.code : error.name);
    if (typeof code === 'number' || /^[A-Z][A-Z_]+$/.test(String(code))) parts.push(String(code));
  }
  return parts.length === 0 ? 'unknown' : [...new Set(parts)].join(' ');
}

/** Whether MongoDB is there but refuses this user, which waiting does not mend. */
export function isRefusal(thrown: unknown): boolean {
  return commandRefusal(thrown) !== undefined;
}

/** Whether an index could not be made since another one has its fields or its name. */
export function isIndexConflict(thrown: unknown): boolean {
  return codesOf(thrown).some((code) => INDEX_CONFLICTS.includes(code));
}

function commandRefusal(thrown: unknown): number | undefined {
  return codesOf(thrown).find((code) => REFUSALS.includes(code));
}

/** The codes of an error and of what caused it. */
function codesOf(thrown: unknown): number[] {
  const codes: number[] = [];
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ('code' in error && typeof error.code === 'number') codes.push(error.code);
  }
  return codes;
}

/** The error for a failed read, or a write that was not begun. */
export function notDone(thrown: unknown): EncServerError {
  if (thrown instanceof EncServerError) return thrown;
  return new EncServerError('UNAVAILABLE', wordsOf(commandRefusal(thrown)), { cause: thrown });
}

function wordsOf(refusal: number | undefined): string {
  if (refusal === undefined) return 'MongoDB did not answer';
  return refusal === HOSTED_REFUSAL
    ? `MongoDB refuses it (${refusal})`
    : 'MongoDB refuses its user';
}

/**
 * The error for a failed write. Only MongoDB knows whether a lost command was executed; and if the
 * driver repeated it, the last error says nothing of the first attempt.
 */
export function maybeDone(thrown: unknown): EncServerError {
  if (thrown instanceof EncServerError) return thrown;
  if (isRefusal(thrown)) return notDone(thrown);
  const concern = concernFailure(thrown);
  if (concern !== undefined) return unconfirmed(concern, thrown);
  const failure = singleFailure(thrown);
  if (failure !== undefined) return refusedOne(failure.code);
  const words = 'MongoDB did not answer; the write may or may not have been done';
  return new EncServerError('UNKNOWN_OUTCOME', words, { cause: thrown });
}

/**
 * The code by which MongoDB refused a command that writes, or one of its writes for a reason that
 * holds for others as well; undefined if it did not.
 */
export function refusalOf(thrown: unknown): number | undefined {
  const codes = [...codesOf(thrown), ...writeFailures(thrown).map(({ code }) => code)];
  return codes.find((code) => REFUSALS.includes(code) || code === NO_ROOM);
}

/** Analyses an error of `bulkWrite` or `insertMany`. */
export function bulkFailure(thrown: unknown): BulkFailure {
  const duplicates = new Set<number>();
  const refused = new Map<number, EncServerError>();
  const failures = writeFailures(thrown);
  for (const { index, code } of failures) {
    if (code === DUPLICATE_KEY) duplicates.add(index);
    else refused.set(index, refusedOne(code));
  }
  // Without failures of single writes it failed as a whole. With them, the others succeeded, unless
  // too few servers have them.
  const isUnknown = failures.length === 0 || concernFailure(thrown) !== undefined;
  const { result } = thrown as { result?: { upsertedIds?: BulkFailure['created'] } };
  const created = result?.upsertedIds ?? {};
  return { duplicates, refused, created, unknown: isUnknown ? maybeDone(thrown) : undefined };
}

function refusedOne(code: number): EncServerError {
  if (!LEAVES_OPEN.includes(code)) {
    return new EncServerError('UNAVAILABLE', `MongoDB refused it (${code})`);
  }
  const words = `MongoDB failed (${code}); the write may or may not have been done`;
  return new EncServerError('UNKNOWN_OUTCOME', words);
}

/** The driver throws the failure of a command's only write itself. */
function singleFailure(thrown: unknown): WriteFailure | undefined {
  const { code, index } = thrown as Partial<WriteFailure>;
  const isOne = typeof code === 'number' && typeof index === 'number';
  return isOne ? { code, index } : undefined;
}

function writeFailures(thrown: unknown): readonly WriteFailure[] {
  const failures = (thrown as { writeErrors?: WriteFailure | readonly WriteFailure[] }).writeErrors;
  return failures === undefined ? [] : [failures].flat();
}

/**
 * The code of the reason why fewer members than required are known to have what was written;
 * undefined if that did not happen. The driver has it in one place for a single write, and in
 * another for several.
 */
function concernFailure(thrown: unknown): number | undefined {
  interface Concerned {
    readonly writeConcernError?: { readonly code: number };
    getWriteConcernError?(): { readonly code?: number | undefined } | undefined;
  }
  const { result } = thrown as { result?: Concerned };
  return (result?.getWriteConcernError?.() ?? result?.writeConcernError)?.code;
}

function unconfirmed(code: number, cause: unknown): EncServerError {
  const words = `too few members of MongoDB confirmed the write (${code}); it may or may not last`;
  return new EncServerError('UNKNOWN_OUTCOME', words, {
    hint: 'look whether it was done before doing it again; check the members of the replica set',
    cause,
  });
}
