/** `docs/ERRORS.md`, written from the table of errors. */
import { ERRORS, type ErrorCode, EXIT, GRPC, type Retry } from './errors.ts';

const INTRODUCTION = `# Errors

This page is generated from \`lib/errors.ts\`; a test keeps it current.

Every failure that a caller can see has a code. Codes and numbers are stable: none is ever given another
meaning. Programs look at the code, or at what it becomes in their dialect; the words are for people, may
change, and never hold a key, a record or a user ID.

| where | what of it |
| --- | --- |
| frames | the status of the reply; its body is the message and a hint |
| text lines | \`ERROR CODE message; hint\` |
| HTTP | the status; the code is \`code\` in problem details (RFC 9457) |
| gRPC | the status; the code is \`enc-error-code\` in the trailing metadata |
| client libraries | \`code\` of the \`EncServerError\` that they reject with |
| commands | the exit code; the code and the hint on standard error |

A client that meets a status that it does not know takes it for \`INTERNAL\`.

The same request may be sent again:

- **never**: the answer would be the same;
- **always**: the server says that it did not do it; wait a moment first;
- **if idempotent**: it may have been done. Only what reads, or writes the same when repeated, may be sent again.
`;

/** By the lowest status of each. */
const SECTIONS: readonly (readonly [from: number, title: string])[] = [
  [1, 'The wire itself'],
  [20, 'What a request says'],
  [30, 'What became of it'],
  [40, 'Not now'],
  [50, 'Keyring and store'],
  [60, 'Who may'],
  [70, 'The program and its machine'],
];

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

| code | status | HTTP | gRPC | exit | again | hint |
| --- | --- | --- | --- | --- | --- | --- |
${codes.map(describeRow).join('')}`;
}

function describeRow(code: ErrorCode): string {
  const { status, http, grpc, exit, retry, hint } = ERRORS[code];
  const grpcCell = `${grpc} ${grpcName(grpc)}`;
  const cells = [`\`${code}\``, status, http, grpcCell, exit, RETRY_WORDS[retry], hint];
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
