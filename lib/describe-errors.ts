/** Generates `docs/ERRORS.md` from the table of errors. */
import { ERRORS, type ErrorCode, EXIT, GRPC, type Retry } from './errors.ts';

const INTRODUCTION = `# Errors

This page is generated from \`lib/errors.ts\`; a test keeps it current.

Every failure that a caller can see has a code. Codes and numbers are stable: none is ever given another
meaning. Programs look at the code, or at what it becomes in their dialect; the words are for people, may
change, and never hold a key, a record or a user ID. What to do is the hint that comes with the error, where
no better one is known.

| where | what of it |
| --- | --- |
| frames | the status of the reply; its body is the message and a hint |
| text lines | \`ERROR CODE message; hint\` |
| HTTP | the status, or one that says the same more exactly, as 412 does for a condition; the code is \`code\` in problem details (RFC 9457) |
| gRPC | the status; the code is \`enc-error-code\` in the trailing metadata |
| client libraries | \`code\` of the \`EncServerError\` that they reject with |
| commands | the exit code; the code and the hint on standard error |

A client that meets a status that it does not know takes it for \`INTERNAL\`.

The same request may be sent again:

- **never**: the answer would be the same;
- **always**: the server says that it did not do it; wait a moment first;
- **if idempotent**: it may have been done. Only what reads, or writes the same when repeated, may be sent again.
`;

/** Each section begins at its lowest status. */
const SECTIONS: readonly (readonly [from: number, title: string])[] = [
  [1, 'The wire itself'],
  [20, 'What a request says'],
  [30, 'What became of it'],
  [40, 'Not now'],
  [50, 'Keyring and store'],
  [60, 'Who may'],
  [70, 'The program and its machine'],
];

/** What each code means, whatever details the message of one case adds. */
const HAPPENED: Readonly<Record<ErrorCode, string>> = {
  BAD_FRAME: 'what came is no frame, or no frame that may come here',
  UNSUPPORTED_VERSION: 'the frame is of another version',
  UNKNOWN_OPCODE: 'the server has no such operation',
  UNKNOWN_FIELD: 'the request asks for what the server does not know, or not here',
  MISSING_FIELD: 'the request lacks what its operation needs',
  INVALID_FIELD: 'a field has a wrong form or length, is there twice, or contradicts another',
  FRAME_TOO_LARGE: 'the frame is longer than its receiver takes',
  DUPLICATE_REQUEST_ID: 'a request of this ID is still under way on the connection',
  UNKNOWN_DIALECT: 'the first bytes of the connection begin no dialect',
  UNSUPPORTED_DIALECT: 'the connection begins in a dialect that is not spoken here',
  UNKNOWN_VERB: 'the server knows no such verb, or method of HTTP',
  INVALID_LINE: 'the line, or the request of HTTP, has not the form that it needs',
  LINE_TOO_LONG: 'the line is longer than the server takes',
  NOT_TEXT: 'the record is no text that could be shown there',
  INVALID_ID: 'the ID is empty, too long or malformed',
  INVALID_KEY: 'the key is no key: it has another length or form',
  WEAK_KEY: 'the key was typed rather than drawn: it has fewer than 8 different bytes',
  INVALID_NAMESPACE: 'the namespace is too long or malformed, or one of the server itself',
  RECORD_TOO_LARGE: 'the record is longer than the server takes',
  INVALID_RECORD: 'the record, or a line or file of records, is not encoded as it should be',
  NOT_FOUND: 'nothing is there: it never was, was deleted, or has expired',
  WRONG_KEY: 'there is a record, and the key is not the one that sealed it',
  ALTERED: 'what is stored is not what was sealed',
  CONFLICT: 'something else is there than the caller expects, or somebody was faster',
  ALREADY_READ: 'the record could be read once, and somebody has',
  LARGE: 'the record is longer than the asker accepts; the answer has its size',
  KEY_REQUIRED: 'replacing or deleting takes the key of the record, which was not shown',
  UNAVAILABLE: 'the server, or one that it needs, cannot be reached, or takes nothing now',
  OVERLOADED:
    'as much to do, or as many connections, as the server takes; or others keep writing the record',
  TIMEOUT: 'the time that was allowed is over',
  UNKNOWN_OUTCOME: 'a write was sent, and whether it was done is not known',
  CANCELLED: 'the caller took the request back, or left',
  GOAWAY: 'the server is closing, and takes nothing new',
  RATE_LIMITED: 'the caller asks more often, or is wrong more often, than it may',
  KEYRING_MISMATCH: 'the store was filled under another keyring than the one that is shown',
  STALE_EPOCH: 'the keyring that is shown is older than one that the store has seen',
  KEYRING_MISSING: 'there is no keyring file where one must be',
  KEYRING_UNSAFE: 'others than its owner may use the keyring file',
  KEYRING_DAMAGED: 'the keyring file is not as it was written',
  KEYRING_LOCKED: 'the keyring file is sealed, and what opens it is missing or another',
  NOT_ALLOWED: 'the caller may not do this, or not in this way',
  UNAUTHENTICATED: 'nobody knows who is asking: a token or certificate is missing or not valid',
  TLS_FAILED: 'the two sides cannot agree on a connection in TLS',
  USAGE: 'the command line is not one that the program understands',
  BAD_CONFIG: 'a setting is wrong, or does not fit this machine',
  PORT_TAKEN: 'another program listens on the port',
  FOLDER_LOCKED: 'another process uses the folder',
  STORE_DAMAGED: 'the files of the store are not as they were written',
  FILE_ERROR: 'a file, or standard input or output, cannot be read or written',
  TRIAL_FAILED: 'a trial did not bring back what it stored',
  INTERNAL: 'something failed inside that should not have',
};

const RETRY_WORDS: Readonly<Record<Retry, string>> = {
  never: 'never',
  always: 'always',
  'if-idempotent': 'if idempotent',
};

const EXIT_WORDS: Readonly<Record<keyof typeof EXIT, string>> = {
  done: 'It was done.',
  internal: 'A defect, or a server of another release.',
  usage: 'The command line, the configuration or a file is wrong.',
  notFound: 'There is no such record.',
  wrongKey: 'The key is not the right one, or the record was altered.',
  unreachable: 'The server does not answer, or not now.',
  notAllowed: 'The caller may not.',
  conflict: 'Something else is there, or was faster.',
  tooLarge: 'It is larger than the server takes.',
};

/** The whole page, in Markdown. */
export function describeErrors(): string {
  const sections = SECTIONS.map(([from, title], index) => {
    const end = SECTIONS[index + 1]?.[0] ?? Number.POSITIVE_INFINITY;
    return describeSection(title, from, end);
  });
  return [INTRODUCTION, ...sections, describeExits()].join('\n');
}

/** The errors whose status is at least `from` and below `end`. */
function describeSection(title: string, from: number, end: number): string {
  const codes = (Object.keys(ERRORS) as ErrorCode[]).filter(
    (code) => ERRORS[code].status >= from && ERRORS[code].status < end,
  );
  return `## ${title}

| code | what happened | what to do | status | HTTP | gRPC | exit | again |
| --- | --- | --- | --- | --- | --- | --- | --- |
${codes.map(describeRow).join('')}`;
}

function describeRow(code: ErrorCode): string {
  const { status, http, grpc, exit, retry, hint } = ERRORS[code];
  const grpcCell = `${grpc} ${grpcName(grpc)}`;
  const told = [`\`${code}\``, HAPPENED[code], hint];
  const cells = [...told, status, http, grpcCell, exit, RETRY_WORDS[retry]];
  return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |\n`;
}

/** As the gRPC documentation writes it, such as `INVALID_ARGUMENT`. */
function grpcName(number: number): string {
  const name = Object.entries(GRPC).find(([, value]) => value === number)?.[0] ?? '';
  return name.replace(/[A-Z]/g, '_$&').toUpperCase();
}

function describeExits(): string {
  const rows = (Object.keys(EXIT) as (keyof typeof EXIT)[]).map(
    (name) => `| ${EXIT[name]} | ${EXIT_WORDS[name]} |\n`,
  );
  return `## Exit codes

| exit | |
| --- | --- |
${rows.join('')}`;
}
