/**
 * The fields of a frame: type, length, value (docs/PROTOCOL.md, "Fields"). A section is `u16 length
 * ‖ fields`, as it lies in the frame; its length is checked here and not by the frame decoder,
 * because a wrong one spoils only that request, not the connection.
 */
import { EncServerError, type ErrorCode } from '../errors.ts';
import {
  FOREIGN_TOKEN_BYTES_MAX,
  HEAD_BYTES_MAX,
  ID_BYTES_MAX,
  KEY_BYTES,
  NAMESPACE_BYTES_MAX,
  OLD_KEY_BYTES,
} from './limits.ts';
import { FIELD, type FieldType } from './messages.ts';
import { SPAN_ID_BYTES } from './traceparent.ts';

/** A field to be sent. */
export interface FieldEntry {
  readonly type: FieldType;
  readonly value: Buffer;
}

/** Longest field section, in bytes: its length is a u16. */
export const FIELD_SECTION_BYTES_MAX = 0xffff;
/** Bit 7 of the type: a receiver that does not know or take the field must refuse the request. */
const MUST_UNDERSTAND = 0x80;
/** Bytes before each value: type and length. */
const FIELD_HEADER_BYTES = 3;
/** Bytes before the fields: the length of their section. */
const SECTION_HEADER_BYTES = 2;
const STORE_KEY_BYTES_MAX = 1 + FOREIGN_TOKEN_BYTES_MAX;

/** Keys from the family's servers can be as short as this; the service knows which are valid. */
const OPENING_KEY_BYTES = [Math.min(...OLD_KEY_BYTES), KEY_BYTES] as const;

/** Shortest and longest value of each type, in bytes. */
const VALUE_BYTES: Readonly<Record<FieldType, readonly [min: number, max: number]>> = {
  [FIELD.ID]: [1, ID_BYTES_MAX],
  [FIELD.KEY]: OPENING_KEY_BYTES,
  [FIELD.NAMESPACE]: [0, NAMESPACE_BYTES_MAX],
  [FIELD.STORE_KEY]: [1, STORE_KEY_BYTES_MAX],
  [FIELD.HEAD]: [0, HEAD_BYTES_MAX],
  [FIELD.EXPIRY]: [8, 8],
  [FIELD.REVISION]: [8, 8],
  [FIELD.IF_ABSENT]: [0, 0],
  [FIELD.IF_REVISION]: [8, 8],
  [FIELD.REPLACED]: [1, 1],
  [FIELD.ACCEPT_BYTES]: [4, 4],
  [FIELD.SIZE]: [4, 4],
  [FIELD.TIMEOUT]: [4, 4],
  [FIELD.TRACE]: [16, 16],
  [FIELD.KEYRING]: [16, 16],
  [FIELD.EPOCH]: [4, 4],
  [FIELD.STORE_ID]: [16, 16],
  [FIELD.TARGET]: [4, 4],
  [FIELD.AGENT]: [0, 255],
  [FIELD.RECORD_BYTES_MAX]: [4, 4],
  [FIELD.PREFIX]: [1, STORE_KEY_BYTES_MAX],
  [FIELD.AFTER]: [1, STORE_KEY_BYTES_MAX],
  [FIELD.LIMIT]: [4, 4],
  [FIELD.TOKEN]: [1, 4096],
  [FIELD.ONCE]: [0, 0],
  [FIELD.CONTENT_TYPE]: [0, 255],
  [FIELD.READER]: [16, 64],
  [FIELD.OLD_KEY]: OPENING_KEY_BYTES,
  [FIELD.LEASE]: [8, 8],
  [FIELD.SPAN]: [SPAN_ID_BYTES + 1, SPAN_ID_BYTES + 1],
};

/** The types for which a wrong length has an error code of its own. */
const LENGTH_CODE: ReadonlyMap<number, ErrorCode> = new Map([
  [FIELD.ID, 'INVALID_ID'],
  [FIELD.KEY, 'INVALID_KEY'],
  [FIELD.OLD_KEY, 'INVALID_KEY'],
  [FIELD.NAMESPACE, 'INVALID_NAMESPACE'],
]);

/** Requests are understood without these, so they are sent without the must-understand bit. */
const ADVISORY: ReadonlySet<FieldType> = new Set([
  FIELD.TRACE,
  FIELD.SPAN,
  FIELD.AGENT,
  FIELD.TIMEOUT,
]);
/** Every request may carry these. */
const COMMON: ReadonlySet<FieldType> = new Set([
  FIELD.TRACE,
  FIELD.SPAN,
  FIELD.TIMEOUT,
  FIELD.TOKEN,
]);

const NAMES = new Map<number, string>(Object.entries(FIELD).map(([name, type]) => [type, name]));

/** `field ID`, or `field 99` where the number has no name yet. */
function nameOf(type: number): string {
  return `field ${NAMES.get(type) ?? type}`;
}

function isKnown(type: number): type is FieldType {
  return NAMES.has(type);
}

function invalid(words: string): EncServerError {
  return new EncServerError('INVALID_FIELD', words);
}

function checkLength(type: FieldType, length: number): void {
  const [min, max] = VALUE_BYTES[type];
  const isKey = VALUE_BYTES[type] === OPENING_KEY_BYTES;
  if (isKey ? OLD_KEY_BYTES.includes(length) : length >= min && length <= max) return;
  const range = min === max ? `${min}` : `${min} to ${max}`;
  throw new EncServerError(
    LENGTH_CODE.get(type) ?? 'INVALID_FIELD',
    `${nameOf(type)} has ${length} bytes, not ${range}`,
  );
}

/** A field that is ignored has no stored value, but still may not appear twice. */
const NOWHERE = -1;
/** Numbers kept for each field: its type, and where its value begins and ends. */
const PLACE = 3;

/**
 * The fields of one frame, checked. A frame has few of them: a field is found by linear search, and
 * its value is sliced from the frame on request.
 */
export class Fields {
  readonly #section: Buffer;
  readonly #places: readonly number[];

  private constructor(section: Buffer, places: readonly number[]) {
    this.#section = section;
    this.#places = places;
  }

  /**
   * Checks a whole section, and keeps the fields that are taken: those of `allowed`, TRACE, SPAN,
   * TIMEOUT and TOKEN; without `allowed`, every known one. A field that is not taken is ignored,
   * unless it must be understood.
   *
   * @param section `Frame.fieldBytes`: the u16 length of the section and the fields.
   * @throws EncServerError `UNKNOWN_FIELD`; `INVALID_ID`, `INVALID_KEY`, `INVALID_NAMESPACE` for
   *   their lengths; `INVALID_FIELD` for all else. None of them ends the connection.
   */
  static decode(section: Buffer, allowed?: readonly FieldType[]): Fields {
    const sectionBytes = section.length - SECTION_HEADER_BYTES;
    if (sectionBytes < 0 || sectionBytes !== section.readUInt16BE(0)) {
      throw invalid('the field section is longer than its frame');
    }
    const places: number[] = [];
    let at = SECTION_HEADER_BYTES;
    while (at < section.length) {
      const start = at + FIELD_HEADER_BYTES;
      if (start > section.length) throw invalid('a field ends before its length');
      const tag = section[at] as number;
      const type = tag & ~MUST_UNDERSTAND;
      at = start + section.readUInt16BE(at + 1);
      if (type === 0) throw invalid('a field has type 0');
      if (at > section.length) throw invalid(`${nameOf(type)} runs past the field section`);
      if (indexOf(places, type) >= 0) throw invalid(`${nameOf(type)} is there twice`);
      const taken = isKnown(type) && (!allowed || allowed.includes(type) || COMMON.has(type));
      if (taken) checkLength(type, at - start);
      else if (tag & MUST_UNDERSTAND) {
        throw new EncServerError('UNKNOWN_FIELD', `${nameOf(type)} (${type}) is not taken here`);
      }
      places.push(type, taken ? start : NOWHERE, at);
    }
    return new Fields(section, places);
  }

  has(type: FieldType): boolean {
    return this.#startOf(type) >= 0;
  }

  bytes(type: FieldType): Buffer | undefined {
    const index = indexOf(this.#places, type);
    const start = index < 0 ? NOWHERE : (this.#places[index + 1] as number);
    return start < 0 ? undefined : this.#section.subarray(start, this.#places[index + 2]);
  }

  /** @throws EncServerError `MISSING_FIELD` with the name of the field. */
  requireBytes(type: FieldType): Buffer {
    const value = this.bytes(type);
    if (value === undefined) throw missing(type);
    return value;
  }

  /** For a type of 1 byte. */
  u8(type: FieldType): number | undefined {
    const start = this.#startOf(type);
    return start < 0 ? undefined : this.#section.readUInt8(start);
  }

  /** For a type of 4 bytes. */
  u32(type: FieldType): number | undefined {
    const start = this.#startOf(type);
    return start < 0 ? undefined : this.#section.readUInt32BE(start);
  }

  /** As {@link u32}. @throws EncServerError `MISSING_FIELD` with the name of the field. */
  requireU32(type: FieldType): number {
    const number = this.u32(type);
    if (number === undefined) throw missing(type);
    return number;
  }

  /**
   * For a type of 8 bytes.
   *
   * @throws EncServerError `INVALID_FIELD` above 2^53 - 1, which a number cannot hold exactly.
   */
  u64(type: FieldType): number | undefined {
    const start = this.#startOf(type);
    if (start < 0) return undefined;
    const high = this.#section.readUInt32BE(start);
    const number = high * 2 ** 32 + this.#section.readUInt32BE(start + 4);
    if (number > Number.MAX_SAFE_INTEGER) throw invalid(`${nameOf(type)} is above 2^53 - 1`);
    return number;
  }

  #startOf(type: FieldType): number {
    const index = indexOf(this.#places, type);
    return index < 0 ? NOWHERE : (this.#places[index + 1] as number);
  }
}

function indexOf(places: readonly number[], type: number): number {
  for (let index = 0; index < places.length; index += PLACE) {
    if (places[index] === type) return index;
  }
  return -1;
}

function missing(type: FieldType): EncServerError {
  return new EncServerError('MISSING_FIELD', `${nameOf(type)} is missing`);
}

export function u8Field(type: FieldType, number: number): FieldEntry {
  const value = Buffer.allocUnsafe(1);
  value.writeUInt8(number);
  return { type, value };
}

/** `number` is 0 to 2^32 - 1. @throws EncServerError `INVALID_FIELD` if it is not */
export function u32Field(type: FieldType, number: number): FieldEntry {
  if (number !== number >>> 0) throw invalid(`${nameOf(type)} is no u32`);
  const value = Buffer.allocUnsafe(4);
  value.writeUInt32BE(number);
  return { type, value };
}

/** `number` is 0 to 2^53 - 1. */
export function u64Field(type: FieldType, number: number): FieldEntry {
  if (!Number.isSafeInteger(number) || number < 0) throw invalid(`${nameOf(type)} is no u64`);
  const value = Buffer.allocUnsafe(8);
  value.writeUInt32BE(Math.floor(number / 2 ** 32), 0);
  value.writeUInt32BE(number % 2 ** 32, 4);
  return { type, value };
}

export function bytesField(type: FieldType, value: Buffer): FieldEntry {
  return { type, value };
}

/** A field whose mere presence carries the information. */
export function emptyField(type: FieldType): FieldEntry {
  return { type, value: Buffer.alloc(0) };
}

/** Size of the fields without the length prefix of their section, in bytes. */
export function fieldsLength(fields: readonly FieldEntry[]): number {
  let length = 0;
  for (const { value } of fields) length += FIELD_HEADER_BYTES + value.length;
  return length;
}

/**
 * Writes fields at `offset` of a frame. In a request all but the advisory ones must be understood;
 * in a reply none must, as the server could not be told that one is not.
 */
export function writeFields(
  fields: readonly FieldEntry[],
  reply: boolean,
  frame: Buffer,
  offset: number,
): void {
  let at = offset;
  for (const { type, value } of fields) {
    frame.writeUInt8(reply || ADVISORY.has(type) ? type : type | MUST_UNDERSTAND, at);
    frame.writeUInt16BE(value.length, at + 1);
    frame.set(value, at + FIELD_HEADER_BYTES);
    at += FIELD_HEADER_BYTES + value.length;
  }
}
