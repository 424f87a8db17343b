/**
 * What is sealed in front of a record: items of u8 type, u16 length, value, their types ascending.
 * Type 1 is the content type, type 2 padding. `docs/ENVELOPE.md`, "Metadata".
 */

import { isUtf8 } from 'node:buffer';
import { EncServerError } from '../errors.ts';
import { altered, NEWER_HINT } from './altered.ts';

export interface Metadata {
  /** 1 to 255 bytes of UTF-8 without control characters. */
  readonly contentType?: string;
  /** Zeros that hide the record's size; absent is no padding item at all. */
  readonly paddingBytes?: number;
}

/**
 * The most metadata that is sealed, in bytes: with everything else it must fit a frame's overhead.
 */
export const METADATA_BYTES_MAX = 32 * 1024;
/** Type and length of one item, in bytes. */
export const METADATA_ITEM_BYTES = 3;

const TYPE_CONTENT = 1;
const TYPE_PADDING = 2;
/** Items of these types must be understood, or the record is refused. */
const TYPE_MUST_UNDERSTAND = 0x80;
const CONTENT_TYPE_BYTES_MAX = 255;
/** The content type becomes a line of an HTTP reply: nothing in it may end that line. */
const CONTROL = /\p{Cc}/u;

const NONE = Buffer.alloc(0);

/** @throws EncServerError `INVALID_FIELD` if the content type or the padding is out of bounds */
export function encodeMetadata(metadata: Metadata): Buffer {
  const { contentType, paddingBytes } = metadata;
  const items: Buffer[] = [];
  if (contentType !== undefined) {
    const value = Buffer.from(contentType, 'utf8');
    // A lone surrogate would be sealed as a different text.
    if (!contentTypeFits(value, contentType) || value.toString('utf8') !== contentType) {
      throw invalid('a content type has 1 to 255 bytes of UTF-8 without control characters');
    }
    items.push(itemStart(TYPE_CONTENT, value.length), value);
  }
  if (paddingBytes !== undefined) {
    if (!Number.isSafeInteger(paddingBytes) || paddingBytes < 0) {
      throw invalid('padding is a number of bytes');
    }
    // Checked before the padding is made: the number may come from a caller.
    if (paddingBytes > METADATA_BYTES_MAX) throw tooLong();
    items.push(itemStart(TYPE_PADDING, paddingBytes), Buffer.alloc(paddingBytes));
  }
  if (items.length === 0) return NONE;
  const encoded = Buffer.concat(items);
  checkMetadataLength(encoded);
  return encoded;
}

/**
 * Reads what `open` gave back.
 *
 * @throws EncServerError `ALTERED` if an item is cut short, out of order, malformed, or of a type
 *   from 128 on that this release does not know; other unknown types are skipped
 */
export function decodeMetadata(metadata: Buffer): Metadata {
  let decoded: Metadata = {};
  let lastType = 0;
  let offset = 0;
  while (offset < metadata.length) {
    const valueAt = offset + METADATA_ITEM_BYTES;
    if (valueAt > metadata.length) throw altered('the metadata is cut short');
    const type = metadata.readUInt8(offset);
    const end = valueAt + metadata.readUInt16BE(offset + 1);
    if (end > metadata.length) throw altered('the metadata is cut short');
    if (type <= lastType) throw altered('the metadata is out of order');
    decoded = { ...decoded, ...decodeItem(type, metadata.subarray(valueAt, end)) };
    lastType = type;
    offset = end;
  }
  return decoded;
}

function decodeItem(type: number, value: Buffer): Metadata {
  if (type === TYPE_CONTENT) {
    const contentType = value.toString('utf8');
    if (!isUtf8(value) || !contentTypeFits(value, contentType)) {
      throw altered('the content type is malformed');
    }
    return { contentType };
  }
  if (type === TYPE_PADDING) {
    if (value.some((byte) => byte !== 0)) throw altered('the padding is not all zeros');
    return { paddingBytes: value.length };
  }
  if (type >= TYPE_MUST_UNDERSTAND) throw altered('unknown kind of metadata', NEWER_HINT);
  return {};
}

/** @throws EncServerError `INVALID_FIELD` */
export function checkMetadataLength(metadata: Buffer): void {
  if (metadata.length > METADATA_BYTES_MAX) throw tooLong();
}

function contentTypeFits(bytes: Buffer, text: string): boolean {
  return bytes.length >= 1 && bytes.length <= CONTENT_TYPE_BYTES_MAX && !CONTROL.test(text);
}

function itemStart(type: number, valueBytes: number): Buffer {
  return Buffer.of(type, valueBytes >> 8, valueBytes & 0xff);
}

function tooLong(): EncServerError {
  return invalid(`metadata has at most ${METADATA_BYTES_MAX} bytes`);
}

function invalid(message: string): EncServerError {
  return new EncServerError('INVALID_FIELD', message);
}
