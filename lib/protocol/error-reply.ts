/** How an error travels in a reply: a status, a message for people, and what it is about. */
import { codeOfStatus, EncServerError } from '../errors.ts';
import { Fields, u32Field } from './fields.ts';
import { encodeReply, type Frame } from './frame.ts';
import { FIELD } from './messages.ts';

/** How much of the other side's message is kept, in bytes. */
const WORDS_BYTES_MAX = 1024;

/** The reply that says what failed: the body is `message; hint`, and LARGE carries SIZE. */
export function encodeErrorReply(requestId: number, error: EncServerError): Buffer[] {
  const { code, fields, body } = encodeError(error);
  return encodeReply(code, requestId, fields, body);
}

/**
 * What a reply, or an answer in a batch, says of an error. Never throws: whoever reports an error
 * has nobody to report another one to.
 */
export function encodeError({ row, sizeBytes, message, hint }: EncServerError) {
  const isSize = sizeBytes !== undefined && sizeBytes === sizeBytes >>> 0;
  const fields = isSize ? [u32Field(FIELD.SIZE, sizeBytes)] : [];
  return { code: row.status, fields, body: Buffer.from(`${message}; ${hint}`) };
}

/**
 * The error in a reply, or an answer in a batch, whose status is not 0. The other side's message is
 * truncated and stripped of control characters, as it may end up on a terminal.
 *
 * @throws EncServerError as `Fields.decode`.
 */
export function decodeError(reply: Pick<Frame, 'code' | 'fieldBytes' | 'body'>): EncServerError {
  const code = codeOfStatus(reply.code);
  const words = reply.body.toString('utf8', 0, WORDS_BYTES_MAX).replace(/\p{Cc}+/gu, ' ');
  const end = words.indexOf('; ');
  const message = end === -1 ? words : words.slice(0, end);
  const hint = end === -1 ? undefined : words.slice(end + 2);
  const sizeBytes = Fields.decode(reply.fieldBytes).u32(FIELD.SIZE);
  return new EncServerError(code, message, { hint, sizeBytes });
}
