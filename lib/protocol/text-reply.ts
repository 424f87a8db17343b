/** What text lines are answered with: always one line (docs/PROTOCOL.md, "Text lines"). */
import { isUtf8 } from 'node:buffer';
import { EncServerError } from '../errors.ts';

const TAB = 0x09;
const DEL = 0x7f;
const LF = Buffer.from('\n');
/** What a failure begins with; the family's clients look only at these bytes. */
const FAILURE = Buffer.from('ERROR');

/** The reply to HELP on the front end, without its LF. */
export const FE_HELP =
  'STORE <id> <record> | RETRIEVE <id> <key> | DELETE <id> [<key>] | STORE64 <id> <base64>' +
  ' | RETRIEVE64 <id> <key> | AUTH <token> | PING | INFO | QUIT' +
  ' (STORE answers the key that RETRIEVE needs; docs/PROTOCOL.md)';

/** The reply to HELP on the back end, without its LF. */
export const BE_HELP =
  'STORE <id> <record> | RETRIEVE <id> | DELETE <id> | AUTH <token> | PING | INFO | QUIT' +
  ' (id and record are kept as they come, unsealed; docs/PROTOCOL.md)';

/** Whether bytes are UTF-8 without control characters (C0, DEL, C1) other than tabs. */
export function isPrintable(bytes: Buffer): boolean {
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] as number;
    if (byte < 0x20 ? byte !== TAB : byte === DEL) return false;
    // U+0080 to U+009F are C2 80 to C2 9F.
    if (byte === 0xc2 && (bytes[index + 1] ?? 0xff) < 0xa0) return false;
  }
  return isUtf8(bytes);
}

/**
 * A record as a reply: its bytes and LF.
 *
 * @param hint how to get it otherwise, where that is not what the table says
 * @throws EncServerError `NOT_TEXT` for a record that could be mistaken for two lines, for terminal
 *   commands, or for a failure.
 */
export function recordLine(record: Buffer, hint?: string): Buffer {
  if (!isPrintable(record)) {
    throw new EncServerError('NOT_TEXT', 'the record is no single line of printable UTF-8', {
      hint,
    });
  }
  if (record.subarray(0, FAILURE.length).equals(FAILURE)) {
    throw new EncServerError('NOT_TEXT', 'the record begins with ERROR, as failures do', { hint });
  }
  return Buffer.concat([record, LF]);
}

/** A failure as a reply: `ERROR CODE message; hint` and LF, on one line whatever the words. */
export function errorLine(error: EncServerError): Buffer {
  return Buffer.from(`ERROR ${error.describe().replace(/\p{Cc}+/gu, ' ')}\n`);
}
