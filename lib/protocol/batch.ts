/**
 * The body of a BATCH and of its reply: items, one after another. An item is
 * `u16 code ‖ u16 length of fields ‖ fields ‖ u32 length of body ‖ body`, where `code` is the
 * operation, or in a reply the status. `docs/PROTOCOL.md`, "BATCH".
 */
import { EncServerError } from '../errors.ts';
import { FIELD_SECTION_BYTES_MAX, type FieldEntry, fieldsLength, writeFields } from './fields.ts';
import { BATCH_ITEMS_MAX } from './limits.ts';

const CODE_BYTES = 2;
const SECTION_LENGTH_BYTES = 2;
const BODY_LENGTH_BYTES = 4;
/** What an item takes besides its fields and its body, in bytes. */
const BATCH_ITEM_OVERHEAD_BYTES = CODE_BYTES + SECTION_LENGTH_BYTES + BODY_LENGTH_BYTES;

/** An item to be sent. */
export interface BatchEntry {
  /** The operation, or the status in a reply. */
  readonly code: number;
  readonly fields: readonly FieldEntry[];
  readonly body?: Buffer | undefined;
}

/** A received item. Its parts are slices of the body. */
export interface BatchItem {
  readonly code: number;
  /** Length and fields, as `Fields.decode` takes them. */
  readonly fieldBytes: Buffer;
  readonly body: Buffer;
}

const NO_BYTES = Buffer.alloc(0);

/** Encoded size of an item, in bytes. */
function batchEntryBytes({ fields, body = NO_BYTES }: BatchEntry): number {
  return BATCH_ITEM_OVERHEAD_BYTES + fieldsLength(fields) + body.length;
}

export function encodeBatch(entries: readonly BatchEntry[], reply: boolean): Buffer {
  const bytes = Buffer.allocUnsafe(entries.reduce((sum, one) => sum + batchEntryBytes(one), 0));
  let at = 0;
  for (const { code, fields, body = NO_BYTES } of entries) {
    const sectionBytes = fieldsLength(fields);
    if (sectionBytes > FIELD_SECTION_BYTES_MAX) {
      throw new EncServerError('INVALID_FIELD', `an item's fields have ${sectionBytes} bytes`);
    }
    bytes.writeUInt16BE(code, at);
    bytes.writeUInt16BE(sectionBytes, at + CODE_BYTES);
    writeFields(fields, reply, bytes, at + CODE_BYTES + SECTION_LENGTH_BYTES);
    at += CODE_BYTES + SECTION_LENGTH_BYTES + sectionBytes;
    bytes.writeUInt32BE(body.length, at);
    body.copy(bytes, at + BODY_LENGTH_BYTES);
    at += BODY_LENGTH_BYTES + body.length;
  }
  return bytes;
}

/**
 * @throws EncServerError `INVALID_FIELD` if the bytes end inside an item, or there are more than
 *   `BATCH_ITEMS_MAX`
 */
export function decodeBatch(bytes: Buffer): BatchItem[] {
  const items: BatchItem[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (items.length === BATCH_ITEMS_MAX) throw tooMany();
    const sectionAt = at + CODE_BYTES;
    const bodyLengthAt = sectionAt + SECTION_LENGTH_BYTES + lengthAt(bytes, sectionAt, 2);
    const bodyAt = bodyLengthAt + BODY_LENGTH_BYTES;
    const end = bodyAt + lengthAt(bytes, bodyLengthAt, BODY_LENGTH_BYTES);
    if (end > bytes.length) throw cut();
    items.push({
      code: bytes.readUInt16BE(at),
      fieldBytes: bytes.subarray(sectionAt, bodyLengthAt),
      body: bytes.subarray(bodyAt, end),
    });
    at = end;
  }
  return items;
}

function lengthAt(bytes: Buffer, at: number, size: 2 | 4): number {
  if (at + size > bytes.length) throw cut();
  return bytes.readUIntBE(at, size);
}

function cut(): EncServerError {
  return new EncServerError('INVALID_FIELD', 'the batch ends inside an item');
}

/** The error for a batch that is too long, the same in every dialect. */
function tooMany(): EncServerError {
  const hint = `a batch has at most ${BATCH_ITEMS_MAX} items; send the rest in another`;
  return new EncServerError('INVALID_FIELD', 'the batch has too many items', { hint });
}
