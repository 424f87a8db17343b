/**
 * Requests in Protocol Buffers (proto3), made of strings and bytes. They are read here because
 * protobufjs turns invalid UTF-8 into U+FFFD, accepts a string that ends early, and does not check
 * wire types: different bytes would then name the same record.
 */
import { isUtf8 } from 'node:buffer';
import { EncServerError, type ErrorCode } from '../errors.ts';

/** A field that a request may have, at most once. */
export interface MessageField {
  readonly name: string;
  readonly isText: boolean;
}

/** By number. */
export type MessageFields = ReadonlyMap<number, MessageField>;

export type Message = Record<string, string | Buffer>;

const WIRE = { varint: 0, i64: 1, bytes: 2, groupStart: 3, groupEnd: 4, i32: 5 } as const;
const VARINT_BYTES_MAX = 10;
const TAG_MAX = 0xffff_ffff;
/** Fields of a message, known or not: millions of empty ones would hold up everyone else. */
const FIELDS_MAX = 10_000;
/** Groups nested in groups, which nobody has sent for years; others use the same bound. */
const DEPTH_MAX = 100;
/** Codes that say more than `INVALID_FIELD` for a string that is not UTF-8. */
const TEXT_CODES: Readonly<Record<string, ErrorCode>> = { id: 'INVALID_ID' };

/**
 * The fields of a message. If one appears twice, the last counts; unknown ones and those with
 * another wire type are ignored; both as proto3 requires.
 *
 * @param empty What a message without a field is
 * @throws EncServerError `INVALID_FIELD`, `INVALID_ID`
 */
export function readMessage(bytes: Buffer, fields: MessageFields, empty: Message): Message {
  const message = { ...empty };
  const reader = new Reader(bytes);
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    const field = tag.wireType === WIRE.bytes ? fields.get(tag.number) : undefined;
    if (field === undefined) reader.skip(tag);
    else message[field.name] = readValue(field, reader.bytes());
  }
  return message;
}

/** @throws EncServerError `INVALID_FIELD`, `INVALID_ID` */
function readValue({ name, isText }: MessageField, bytes: Buffer): string | Buffer {
  if (!isText) return bytes;
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const hint = 'proto3 wants strings in UTF-8';
  throw new EncServerError(TEXT_CODES[name] ?? 'INVALID_FIELD', `${name} is no UTF-8`, { hint });
}

interface Tag {
  /** The number of the field. */
  readonly number: number;
  readonly wireType: number;
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;
  #fields = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Undefined at the end. */
  tag(): Tag | undefined {
    if (this.#at === this.#buffer.length) return undefined;
    if (++this.#fields > FIELDS_MAX) throw malformed();
    const tag = this.#varint();
    const number = Math.floor(tag / 8);
    if (tag > TAG_MAX || number === 0) throw malformed();
    return { number, wireType: tag % 8 };
  }

  bytes(): Buffer {
    const length = this.#varint();
    const from = this.#at;
    this.#advance(length);
    return this.#buffer.subarray(from, this.#at);
  }

  skip(tag: Tag): void {
    if (tag.wireType === WIRE.groupStart) this.#skipGroup(tag.number);
    else this.#skipValue(tag.wireType);
  }

  /** Without recursion: the caller decides how deep the nesting is. */
  #skipGroup(number: number): void {
    const open = [number];
    while (open.length > 0) {
      const tag = this.tag();
      if (tag === undefined || open.length > DEPTH_MAX) throw malformed();
      if (tag.wireType === WIRE.groupStart) open.push(tag.number);
      else if (tag.wireType !== WIRE.groupEnd) this.#skipValue(tag.wireType);
      else if (tag.number !== open.pop()) throw malformed();
    }
  }

  #skipValue(wireType: number): void {
    if (wireType === WIRE.varint) this.#varint();
    else if (wireType === WIRE.i64) this.#advance(8);
    else if (wireType === WIRE.i32) this.#advance(4);
    else if (wireType === WIRE.bytes) this.#advance(this.#varint());
    else throw malformed();
  }

  /** Exact up to 2^53, which is more than any valid value. */
  #varint(): number {
    let value = 0;
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      const byte = this.#buffer[this.#at++];
      if (byte === undefined) throw malformed();
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return value;
    }
    throw malformed();
  }

  #advance(bytes: number): void {
    if (bytes > this.#buffer.length - this.#at) throw malformed();
    this.#at += bytes;
  }
}

function malformed(): EncServerError {
  const hint = 'it must be the message that proto/ has for the method';
  return new EncServerError('INVALID_FIELD', 'the request is no message in protobuf', { hint });
}
