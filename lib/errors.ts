/**
 * The one table of errors. Every failure that a caller can see has a row here: a stable code, its
 * number on the wire, its HTTP and gRPC status, the exit code of a command, whether a retry can
 * help, and a hint. Callers should match on `code`, never on the message.
 */

/**
 * Whether the same request may be sent again.
 * - `never`: the answer would be the same.
 * - `always`: the server says that it did not execute the request.
 * - `if-idempotent`: it may have been executed; only a read, or a write that is the same when
 *   repeated, may be sent again.
 */
export type Retry = 'never' | 'always' | 'if-idempotent';

/** One row of the table. */
export interface ErrorRow {
  /** Status number in a binary reply, 1 to 65535; 0 is success. */
  readonly status: number;
  /** HTTP status. */
  readonly http: number;
  /** gRPC status (grpc/status codes). */
  readonly grpc: number;
  /** Exit code of a command line program. */
  readonly exit: ExitCode;
  /** Whether the same request may be sent again. */
  readonly retry: Retry;
  /** What to do about it, as one sentence without its full stop. */
  readonly hint: string;
}

/** Exit codes of every program. */
export const EXIT = {
  done: 0,
  internal: 1,
  usage: 2,
  notFound: 3,
  wrongKey: 4,
  unreachable: 5,
  notAllowed: 6,
  conflict: 7,
  tooLarge: 8,
} as const;

/**
 * One of the exit codes; docs/ERRORS.md says what each means.
 * @useDeclaredType
 */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

function row(
  status: number,
  http: number,
  grpc: number,
  exit: ExitCode,
  retry: Retry,
  hint: string,
): ErrorRow {
  return { status, http, grpc, exit, retry, hint };
}

/** gRPC status numbers, by their names in the gRPC documentation. */
export const GRPC = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

const BAD = GRPC.invalidArgument;

// biome-ignore format: a table, two lines a row.
export const ERRORS = {
  // The wire itself.
  BAD_FRAME: row(1, 400, BAD, EXIT.internal, 'never',
    'the bytes are no frame; see docs/PROTOCOL.md'),
  UNSUPPORTED_VERSION: row(2, 400, GRPC.unimplemented, EXIT.internal, 'never',
    'this server speaks frame version 1'),
  UNKNOWN_OPCODE: row(3, 400, GRPC.unimplemented, EXIT.internal, 'never',
    'client and server may be of different releases, or this is the other server'),
  UNKNOWN_FIELD: row(4, 400, GRPC.unimplemented, EXIT.internal, 'never',
    'the request needs a feature that this server does not have'),
  MISSING_FIELD: row(5, 400, BAD, EXIT.usage, 'never',
    'see HELP, or docs/PROTOCOL.md'),
  INVALID_FIELD: row(6, 400, BAD, EXIT.usage, 'never',
    'see docs/PROTOCOL.md for the length and form of each field'),
  FRAME_TOO_LARGE: row(7, 413, GRPC.resourceExhausted, EXIT.tooLarge, 'never',
    "send less at once, or raise the server's frame maximum"),
  DUPLICATE_REQUEST_ID: row(8, 400, BAD, EXIT.internal, 'never',
    'a request ID may be used again only after its reply'),
  UNKNOWN_DIALECT: row(10, 400, BAD, EXIT.internal, 'never',
    'speak text lines (try HELP) or binary frames'),
  UNSUPPORTED_DIALECT: row(11, 501, GRPC.unimplemented, EXIT.internal, 'never',
    'speak text lines (try HELP) or binary frames'),
  UNKNOWN_VERB: row(12, 400, BAD, EXIT.usage, 'never',
    'try HELP'),
  INVALID_LINE: row(13, 400, BAD, EXIT.usage, 'never',
    'lines are UTF-8 without control characters; send other bytes with fe-client or be-client'),
  LINE_TOO_LONG: row(14, 413, GRPC.resourceExhausted, EXIT.tooLarge, 'never',
    'send large records with fe-client or be-client'),
  NOT_TEXT: row(15, 406, GRPC.failedPrecondition, EXIT.usage, 'never',
    'use RETRIEVE64 or fe-client'),

  // What a request says.
  INVALID_ID: row(20, 400, BAD, EXIT.usage, 'never',
    'an ID has 1 to 1024 bytes'),
  INVALID_KEY: row(21, 400, BAD, EXIT.usage, 'never',
    'a record key is 64 hexadecimal digits (32 bytes)'),
  WEAK_KEY: row(22, 400, BAD, EXIT.usage, 'never',
    'draw the key at random, or leave it out and one is drawn for you'),
  INVALID_NAMESPACE: row(23, 400, BAD, EXIT.usage, 'never',
    'a namespace has at most 255 bytes'),
  RECORD_TOO_LARGE: row(24, 413, GRPC.resourceExhausted, EXIT.tooLarge, 'never',
    'split the record, or raise the record maximum of both servers'),
  INVALID_RECORD: row(25, 400, BAD, EXIT.usage, 'never',
    'the record must be base64 (RFC 4648) without line breaks'),

  // What became of it.
  NOT_FOUND: row(30, 404, GRPC.notFound, EXIT.notFound, 'never',
    'check the ID; it may have been deleted'),
  WRONG_KEY: row(31, 403, GRPC.permissionDenied, EXIT.wrongKey, 'never',
    'the record was stored under another key; a later STORE of the same ID draws a new one'),
  ALTERED: row(32, 500, GRPC.dataLoss, EXIT.wrongKey, 'never',
    'the stored bytes were changed; restore them from a backup'),
  CONFLICT: row(33, 409, GRPC.aborted, EXIT.conflict, 'never',
    'the record is there already, or was changed in between; read it and decide again'),
  ALREADY_READ: row(34, 410, GRPC.failedPrecondition, EXIT.notFound, 'never',
    'the record could be read once, and was'),
  LARGE: row(35, 413, GRPC.resourceExhausted, EXIT.tooLarge, 'never',
    'ask again and accept as many bytes as the reply says'),
  KEY_REQUIRED: row(36, 403, GRPC.permissionDenied, EXIT.notAllowed, 'never',
    'to replace or delete a record, show its current key'),

  // Not now.
  UNAVAILABLE: row(40, 503, GRPC.unavailable, EXIT.unreachable, 'always',
    'try again in a moment'),
  OVERLOADED: row(41, 503, GRPC.resourceExhausted, EXIT.unreachable, 'always',
    'try again more slowly'),
  TIMEOUT: row(42, 504, GRPC.deadlineExceeded, EXIT.unreachable, 'if-idempotent',
    'try again, or allow more time'),
  UNKNOWN_OUTCOME: row(43, 502, GRPC.unavailable, EXIT.unreachable, 'if-idempotent',
    'the connection broke before the answer; look whether it was done before doing it again'),
  CANCELLED: row(44, 499, GRPC.cancelled, EXIT.unreachable, 'if-idempotent',
    'the caller took the request back'),
  GOAWAY: row(45, 503, GRPC.unavailable, EXIT.unreachable, 'always',
    'connect again'),
  RATE_LIMITED: row(46, 429, GRPC.resourceExhausted, EXIT.unreachable, 'always',
    'wait a moment; the limits are per token and address'),

  // Keyring and store belong together.
  KEYRING_MISMATCH: row(50, 503, GRPC.failedPrecondition, EXIT.conflict, 'never',
    'this store was filled under another keyring; start the front end with that keyring, or the back end with another folder'),
  STALE_EPOCH: row(51, 503, GRPC.unavailable, EXIT.unreachable, 'always',
    'the front end must load the newer keyring'),
  KEYRING_MISSING: row(52, 503, GRPC.failedPrecondition, EXIT.conflict, 'never',
    'put the keyring file back from its backup; a new one could not find the records in this store'),
  KEYRING_UNSAFE: row(53, 500, GRPC.failedPrecondition, EXIT.notAllowed, 'never',
    'chmod 600 the keyring file'),
  KEYRING_DAMAGED: row(54, 500, GRPC.dataLoss, EXIT.usage, 'never',
    'put the keyring file back from its backup'),
  KEYRING_LOCKED: row(55, 503, GRPC.failedPrecondition, EXIT.notAllowed, 'never',
    'give what opens it: keyringPassphrase, or the key service of keyringTransitUrl'),

  // Who may.
  NOT_ALLOWED: row(60, 403, GRPC.permissionDenied, EXIT.notAllowed, 'never',
    'ask whoever runs the server'),
  UNAUTHENTICATED: row(61, 401, GRPC.unauthenticated, EXIT.notAllowed, 'never',
    'send a token: --token-file, AUTH <token>, or Authorization: Bearer'),
  TLS_FAILED: row(62, 502, GRPC.unavailable, EXIT.unreachable, 'never',
    'look at the certificates of both sides'),

  // The program and its machine.
  USAGE: row(70, 400, BAD, EXIT.usage, 'never',
    'see --help'),
  BAD_CONFIG: row(71, 500, GRPC.internal, EXIT.usage, 'never',
    'see docs/CONFIG.md'),
  PORT_TAKEN: row(72, 500, GRPC.unavailable, EXIT.unreachable, 'never',
    'choose another port, or stop what listens there'),
  FOLDER_LOCKED: row(73, 500, GRPC.unavailable, EXIT.conflict, 'never',
    'stop the other server, or choose another folder with --data-dir'),
  STORE_DAMAGED: row(74, 500, GRPC.dataLoss, EXIT.internal, 'never',
    'restore the store from a backup'),
  FILE_ERROR: row(75, 500, GRPC.internal, EXIT.usage, 'never',
    'check the path and its permissions'),
  TRIAL_FAILED: row(76, 500, GRPC.internal, EXIT.internal, 'never',
    'what came back is not what was stored; see the log of both servers'),
  INTERNAL: row(99, 500, GRPC.internal, EXIT.internal, 'never',
    'this is a defect; see the log of the server'),
} as const satisfies Record<string, ErrorRow>;

/**
 * A stable error code: the name of a row of the table in docs/ERRORS.md.
 * @useDeclaredType
 */
export type ErrorCode = keyof typeof ERRORS;

/** Extra facts of one error. None may hold a key, a record or a user ID. */
export interface ErrorFacts {
  /** Replaces the hint of the table if a better one is known. */
  readonly hint?: string | undefined;
  /** `LARGE`: the size of the body, in bytes. */
  readonly sizeBytes?: number | undefined;
  /** `RATE_LIMITED`, inside a server: in how many milliseconds the next request is let in. */
  readonly retryAfterMs?: number | undefined;
  /** The original error; for a log, never for a caller. */
  readonly cause?: unknown;
}

/**
 * The error that every part of the program throws and every client library rejects with.
 * `message` never holds a key, a record or a user ID.
 */
export class EncServerError extends Error {
  /** Always the same. */
  override readonly name = 'EncServerError';
  /** What programs should check; its meaning never changes. */
  readonly code: ErrorCode;
  /** What to do about it, as one sentence without its full stop. */
  readonly hint: string;
  /** `LARGE`: the size of the body, in bytes. */
  readonly sizeBytes: number | undefined;
  /** `RATE_LIMITED`, inside a server: in how many milliseconds the next request is let in. */
  readonly retryAfterMs: number | undefined;

  /** The hint is that of the code's row, unless `facts` have a better one. */
  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.hint = facts.hint ?? ERRORS[code].hint;
    this.sizeBytes = facts.sizeBytes;
    this.retryAfterMs = facts.retryAfterMs;
  }

  /** The row of the table that this error belongs to. */
  get row(): ErrorRow {
    return ERRORS[this.code];
  }

  /** `CODE message; hint`, as text replies and commands print it. */
  describe(): string {
    return `${this.code} ${this.message}; ${this.hint}`;
  }
}

const CODE_OF_STATUS = new Map<number, ErrorCode>(
  (Object.keys(ERRORS) as ErrorCode[]).map((code) => [ERRORS[code].status, code]),
);

/** The code of a status number from the wire; `INTERNAL` if a newer server sent an unknown one. */
export function codeOfStatus(status: number): ErrorCode {
  return CODE_OF_STATUS.get(status) ?? 'INTERNAL';
}

/** The code of a thrown value; undefined if it is not one of our errors. */
export function codeOf(thrown: unknown): ErrorCode | undefined {
  return thrown instanceof EncServerError ? thrown.code : undefined;
}

/** The system's code of a thrown value, such as `ENOENT`; undefined if it has none. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** The result of `work`; undefined if it rejects with `code`. */
export async function orUndefined<T>(work: Promise<T>, code: ErrorCode): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === code) return undefined;
    throw error;
  }
}

/**
 * Any thrown value as an {@link EncServerError}. Any other error becomes `INTERNAL` without its
 * message, which could contain anything; the original stays as `cause` for the log. Only a lack of
 * file descriptors, which can be met anywhere, is no defect.
 */
export function toEncServerError(thrown: unknown): EncServerError {
  if (thrown instanceof EncServerError) return thrown;
  const errno = errnoOf(thrown);
  if (errno === 'EMFILE' || errno === 'ENFILE') {
    const hint = 'raise the limit of open files: ulimit -n, or LimitNOFILE= of systemd';
    const words = `too many files are open (${errno})`;
    return new EncServerError('UNAVAILABLE', words, { hint, cause: thrown });
  }
  return new EncServerError('INTERNAL', 'something failed inside the server', { cause: thrown });
}
