/** Text lines: the requests (docs/PROTOCOL.md, "Text lines"). */
import { EncServerError } from '../errors.ts';
import { decodeHexKey } from './hex.ts';
import { FOREIGN_TOKEN_BYTES_MAX, ID_BYTES_MAX } from './limits.ts';
import { isPrintable } from './text-reply.ts';

export { LineDecoder } from './line-decoder.ts';
export { BE_HELP, errorLine, FE_HELP, recordLine } from './text-reply.ts';

const SPACE = 0x20;
const TAB = 0x09;
/** Longest verb compared with the known ones, in bytes. */
export const VERB_BYTES_MAX = 16;

/** Verbs without anything after them, on both servers. */
type BareVerb = 'HELP' | 'PING' | 'INFO' | 'QUIT';

/** The same on both servers: names the caller from here on. */
interface AuthLine {
  verb: 'AUTH';
  accessToken: Buffer;
}

/** A line to the front end. */
export type FeLine =
  | { verb: 'STORE'; id: Buffer; record: Buffer; base64: boolean }
  | { verb: 'RETRIEVE'; id: Buffer; key: Buffer; base64: boolean }
  | { verb: 'DELETE'; id: Buffer; key: Buffer | undefined }
  | AuthLine
  | { verb: BareVerb };

/** A line to the back end. */
export type BeLine =
  | { verb: 'STORE'; token: Buffer; record: Buffer }
  | { verb: 'RETRIEVE' | 'DELETE'; token: Buffer }
  | AuthLine
  | { verb: BareVerb };

const BARE_VERBS = ['HELP', 'PING', 'INFO', 'QUIT'] as const;
const FE_VERBS = [
  'STORE',
  'RETRIEVE',
  'DELETE',
  'STORE64',
  'RETRIEVE64',
  'AUTH',
  ...BARE_VERBS,
] as const;
const BE_VERBS = ['STORE', 'RETRIEVE', 'DELETE', 'AUTH', ...BARE_VERBS] as const;
/** The back end has no STORE64. */
const FE_BYTES_HINT = 'lines are UTF-8 without control characters; send other bytes with STORE64';

/**
 * Parses a line to the front end. Its parts are slices of the line; base64 is decoded.
 *
 * @param line Without its LF or CRLF.
 * @throws EncServerError `INVALID_LINE`, `UNKNOWN_VERB`, `MISSING_FIELD`, `INVALID_ID`,
 *   `INVALID_KEY`, `INVALID_RECORD`. None of them ends the connection.
 */
export function parseFeLine(line: Buffer): FeLine {
  const { verb, rest } = verbOf(line, FE_VERBS, FE_BYTES_HINT);
  switch (verb) {
    case 'STORE':
    case 'STORE64':
      return parseFeStore(verb, rest);
    case 'RETRIEVE':
    case 'RETRIEVE64': {
      const [id, key] = tokensOf(rest, 2, 2, `${verb} <id> <key>`);
      return {
        verb: 'RETRIEVE',
        id: checkId(id, ID_BYTES_MAX),
        key: decodeHexKey(key as Buffer),
        base64: verb === 'RETRIEVE64',
      };
    }
    case 'DELETE': {
      const [id, key] = tokensOf(rest, 1, 2, 'DELETE <id> [<key>]');
      return {
        verb,
        id: checkId(id, ID_BYTES_MAX),
        key: key === undefined ? undefined : decodeHexKey(key),
      };
    }
    case 'AUTH':
      return { verb, accessToken: accessTokenOf(rest) };
    default:
      tokensOf(rest, 0, 0, verb);
      return { verb };
  }
}

/**
 * Parses a line to the back end. Tokens and records are kept as they come.
 *
 * @param line Without its LF or CRLF.
 * @throws EncServerError `INVALID_LINE`, `UNKNOWN_VERB`, `MISSING_FIELD`, `INVALID_ID`. None of
 *   them ends the connection.
 */
export function parseBeLine(line: Buffer): BeLine {
  const { verb, rest } = verbOf(line, BE_VERBS);
  switch (verb) {
    case 'STORE': {
      const [token, record] = tokensOf(rest, 2, 2, 'STORE <id> <record>');
      return { verb, token: checkId(token, FOREIGN_TOKEN_BYTES_MAX), record: record as Buffer };
    }
    case 'RETRIEVE':
    case 'DELETE': {
      const [token] = tokensOf(rest, 1, 1, `${verb} <id>`);
      return { verb, token: checkId(token, FOREIGN_TOKEN_BYTES_MAX) };
    }
    case 'AUTH':
      return { verb, accessToken: accessTokenOf(rest) };
    default:
      tokensOf(rest, 0, 0, verb);
      return { verb };
  }
}

/** The record is everything after the single space that follows the ID; it may be empty. */
function parseFeStore(verb: 'STORE' | 'STORE64', rest: Buffer): FeLine {
  const form = verb === 'STORE' ? 'STORE <id> <record>' : 'STORE64 <id> <base64>';
  if (rest.length === 0) throw missing(form);
  const end = rest.indexOf(SPACE);
  const id = checkId(end === -1 ? rest : rest.subarray(0, end), ID_BYTES_MAX);
  if (end === -1) throw missing(`${form}; an empty record still has the space before it`);
  const record = rest.subarray(end + 1);
  const base64 = verb === 'STORE64';
  return { verb: 'STORE', id, record: base64 ? decodeBase64(record) : record, base64 };
}

/** The verb of a line, and what follows the space after it. */
function verbOf<Verb extends string>(
  line: Buffer,
  verbs: readonly Verb[],
  bytesHint?: string,
): { verb: Verb; rest: Buffer } {
  if (!isPrintable(line)) {
    throw new EncServerError('INVALID_LINE', 'the line holds what no text line may', {
      hint: bytesHint,
    });
  }
  const space = line.indexOf(SPACE);
  const end = space === -1 ? line.length : space;
  const word = end > VERB_BYTES_MAX ? '' : line.toString('latin1', 0, end);
  const verb = verbs.find((known) => known === word);
  if (verb !== undefined) return { verb, rest: line.subarray(Math.min(end + 1, line.length)) };
  const meant = verbs.find((known) => known === word.toUpperCase());
  if (meant === undefined) {
    // The word is not shown: it may be somebody's ID or key, sent without the verb.
    const words = line.length === 0 ? 'the line is empty' : 'the line begins with no known verb';
    throw new EncServerError('UNKNOWN_VERB', words);
  }
  throw new EncServerError('UNKNOWN_VERB', 'the verb is not in upper case', {
    hint: `verbs are upper case: ${meant}`,
  });
}

/**
 * The tokens after a verb, `min` to `max` of them, separated by single spaces; spaces at the end of
 * the line do not count. The first is an ID.
 */
function tokensOf(rest: Buffer, min: number, max: number, form: string): Buffer[] {
  let end = rest.length;
  while (end > 0 && rest[end - 1] === SPACE) end--;
  const tokens: Buffer[] = [];
  let left = rest.subarray(0, end);
  while (left.length > 0 && tokens.length <= max) {
    const space = left.indexOf(SPACE);
    tokens.push(space === -1 ? left : left.subarray(0, space));
    left = space === -1 ? left.subarray(left.length) : left.subarray(space + 1);
  }
  if (max > 0 && tokens[0]?.length === 0) {
    throw new EncServerError('INVALID_ID', 'the ID has 0 bytes', {
      hint: `write ${form}, with single spaces`,
    });
  }
  if (tokens.length > max) {
    throw new EncServerError('INVALID_LINE', 'the line goes on where it should end', {
      hint: `write ${form}`,
    });
  }
  if (tokens.length < min) throw missing(form);
  return tokens;
}

/** Whether it is a valid token is checked elsewhere; here, only that there is one. */
function accessTokenOf(rest: Buffer): Buffer {
  const [accessToken] = tokensOf(rest, 1, 1, 'AUTH <token>');
  return accessToken as Buffer;
}

function checkId(id: Buffer | undefined, bytesMax: number): Buffer {
  const length = id?.length ?? 0;
  if (id === undefined || length === 0 || length > bytesMax) {
    throw new EncServerError('INVALID_ID', `the ID has ${length} bytes`, {
      hint: `one space, then an ID of 1 to ${bytesMax} bytes`,
    });
  }
  if (id.includes(TAB)) {
    throw new EncServerError('INVALID_ID', 'the ID holds a tab', {
      hint: 'an ID in a text line has no tabs; in binary frames it may have any bytes',
    });
  }
  return id;
}

/** Base64 as RFC 4648 section 4 writes it: padded, no line breaks, no bits left over. */
function decodeBase64(text: Buffer): Buffer {
  const written = text.toString('latin1');
  const record = Buffer.from(written, 'base64');
  // Node skips invalid characters. Only text that encodes to the same again was canonical.
  if (record.toString('base64') !== written) {
    throw new EncServerError('INVALID_RECORD', 'the record is not canonical base64');
  }
  return record;
}

function missing(form: string): EncServerError {
  return new EncServerError('MISSING_FIELD', 'the line lacks a part', { hint: `write ${form}` });
}
