/**
 * How IDs and records are written in the front end's text lines: `raw`, as people write them, or
 * `hex`, as the clients of the Go original do. With `hex`, its text and HTTP clients see the same
 * record.
 */
import { EncServerError } from '../../errors.ts';
import { recordLine } from '../../protocol/text.ts';

export interface TextEncoding {
  /** @throws EncServerError `INVALID_ID` */
  readonly decodeId: (token: Buffer) => Buffer;
  /** @throws EncServerError `INVALID_RECORD` */
  readonly decodeRecord: (text: Buffer) => Buffer;
  /** The record, then LF. @throws EncServerError `NOT_TEXT` */
  readonly encodeRecord: (record: Buffer) => Buffer;
}

const RAW: TextEncoding = {
  decodeId: (token) => token,
  decodeRecord: (text) => text,
  encodeRecord: recordLine,
};

const HEX: TextEncoding = {
  decodeId: (token) => decodeHex(token, 'INVALID_ID'),
  decodeRecord: (text) => decodeHex(text, 'INVALID_RECORD'),
  encodeRecord: (record) => Buffer.from(`${record.toString('hex')}\n`, 'latin1'),
};

export const TEXT_ENCODINGS: Readonly<Record<'raw' | 'hex', TextEncoding>> = { raw: RAW, hex: HEX };

/** Node stops at the first invalid character, which shows in the length. */
function decodeHex(text: Buffer, code: 'INVALID_ID' | 'INVALID_RECORD'): Buffer {
  const bytes = Buffer.from(text.toString('latin1'), 'hex');
  if (2 * bytes.length === text.length) return bytes;
  throw new EncServerError(code, 'what was sent is no hexadecimal text', {
    hint: 'this server takes IDs and records of text lines in hex, two digits a byte',
  });
}
