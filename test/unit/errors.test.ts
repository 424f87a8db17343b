import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  codeOfStatus,
  EncServerError,
  ERRORS,
  type ErrorCode,
  type ErrorRow,
  EXIT,
  toEncServerError,
} from '../../lib/errors.ts';
import { fileError } from '../../lib/file-error.ts';

/** What travels on the wire. A line of this list is never changed, only added. */
const STATUS_OF_CODE = {
  BAD_FRAME: 1,
  UNSUPPORTED_VERSION: 2,
  UNKNOWN_OPCODE: 3,
  UNKNOWN_FIELD: 4,
  MISSING_FIELD: 5,
  INVALID_FIELD: 6,
  FRAME_TOO_LARGE: 7,
  DUPLICATE_REQUEST_ID: 8,
  UNKNOWN_DIALECT: 10,
  UNSUPPORTED_DIALECT: 11,
  UNKNOWN_VERB: 12,
  INVALID_LINE: 13,
  LINE_TOO_LONG: 14,
  NOT_TEXT: 15,
  INVALID_ID: 20,
  INVALID_KEY: 21,
  WEAK_KEY: 22,
  INVALID_NAMESPACE: 23,
  RECORD_TOO_LARGE: 24,
  INVALID_RECORD: 25,
  NOT_FOUND: 30,
  WRONG_KEY: 31,
  ALTERED: 32,
  CONFLICT: 33,
  ALREADY_READ: 34,
  LARGE: 35,
  KEY_REQUIRED: 36,
  UNAVAILABLE: 40,
  OVERLOADED: 41,
  TIMEOUT: 42,
  UNKNOWN_OUTCOME: 43,
  CANCELLED: 44,
  GOAWAY: 45,
  RATE_LIMITED: 46,
  KEYRING_MISMATCH: 50,
  STALE_EPOCH: 51,
  KEYRING_MISSING: 52,
  KEYRING_UNSAFE: 53,
  KEYRING_DAMAGED: 54,
  KEYRING_LOCKED: 55,
  NOT_ALLOWED: 60,
  UNAUTHENTICATED: 61,
  TLS_FAILED: 62,
  USAGE: 70,
  BAD_CONFIG: 71,
  PORT_TAKEN: 72,
  FOLDER_LOCKED: 73,
  STORE_DAMAGED: 74,
  FILE_ERROR: 75,
  TRIAL_FAILED: 76,
  INTERNAL: 99,
} as const;

const rows = Object.entries(ERRORS) as [ErrorCode, ErrorRow][];

test('no code that was ever sent has changed its number', () => {
  for (const [code, status] of Object.entries(STATUS_OF_CODE)) {
    assert.equal(ERRORS[code as ErrorCode]?.status, status, code);
  }
});

test('every code has a line in the frozen list', () => {
  assert.deepEqual(
    rows.map(([code]) => code).filter((code) => !Object.hasOwn(STATUS_OF_CODE, code)),
    [],
  );
});

test('status numbers are unique, and in range', () => {
  const statuses = rows.map(([, { status }]) => status);
  assert.equal(new Set(statuses).size, statuses.length);
  for (const status of statuses) assert.ok(status >= 1 && status <= 0xffff);
});

for (const [code, row] of rows) {
  test(`${code} says what to do, and has a place in every dialect`, () => {
    assert.match(row.hint, /^[a-z].*[^.\s]$/);
    assert.ok(row.http >= 400 && row.http <= 599);
    assert.ok(row.grpc >= 1 && row.grpc <= 16);
    assert.ok(row.exit !== EXIT.done && Object.values(EXIT).includes(row.exit));
    assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
    assert.equal(codeOfStatus(row.status), code);
  });
}

test('only what the server surely did not execute may always be sent again', () => {
  const always = rows.filter(([, { retry }]) => retry === 'always').map(([code]) => code);
  assert.deepEqual(always, ['UNAVAILABLE', 'OVERLOADED', 'GOAWAY', 'RATE_LIMITED', 'STALE_EPOCH']);
  const unsure = rows.filter(([, { retry }]) => retry === 'if-idempotent').map(([code]) => code);
  assert.deepEqual(unsure, ['TIMEOUT', 'UNKNOWN_OUTCOME', 'CANCELLED']);
});

test('a status of a newer server is INTERNAL', () => {
  assert.equal(codeOfStatus(60_000), 'INTERNAL');
});

test('a foreign error loses its words, which could hold anything', () => {
  const cause = new TypeError('alice 00112233');
  const error = toEncServerError(cause);
  assert.equal(error.code, 'INTERNAL');
  assert.equal(error.cause, cause);
  assert.doesNotMatch(error.describe(), /alice|0011/);
  assert.equal(toEncServerError(error), error);
});

test('an error describes itself with the hint of the table or a better one', () => {
  const plain = new EncServerError('NOT_FOUND', 'nothing is stored there');
  assert.equal(plain.describe(), `NOT_FOUND nothing is stored there; ${ERRORS.NOT_FOUND.hint}`);
  const hinted = new EncServerError('LARGE', 'too much', { hint: 'take more', sizeBytes: 7 });
  assert.equal(hinted.describe(), 'LARGE too much; take more');
  assert.equal(hinted.sizeBytes, 7);
  assert.equal(hinted.row, ERRORS.LARGE);
});

test('a lack of file descriptors is no defect', () => {
  const cause = Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
  const error = toEncServerError(cause);
  assert.equal(error.code, 'UNAVAILABLE');
  assert.match(error.describe(), /open \(EMFILE\); .*ulimit -n/);
  for (const nothing of [undefined, null]) assert.equal(toEncServerError(nothing).code, 'INTERNAL');
});

test('an error of the system about a file is told by its name, one of ours as it is', () => {
  let thrown: unknown;
  try {
    readFileSync('/nowhere/at/all');
  } catch (error) {
    thrown = error;
  }
  const error = fileError('cannot read', '/nowhere/at/all', thrown, 'look there');
  assert.equal(error.describe(), 'FILE_ERROR cannot read /nowhere/at/all (ENOENT); look there');
  assert.equal(error.cause, thrown);
  assert.equal(fileError('cannot use', '/nowhere', error), error);
});
