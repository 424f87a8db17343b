/** Binary frames: length, header, fields, body (docs/PROTOCOL.md, "Frames"). */
import { EncServerError } from '../errors.ts';
import { ByteQueue } from './byte-queue.ts';
import { FIELD_SECTION_BYTES_MAX, type FieldEntry, fieldsLength, writeFields } from './fields.ts';
import { FRAME_BYTES_CEILING, FRAME_BYTES_MAX } from './limits.ts';
import { OPCODE } from './messages.ts';

/** The version of the header that this program speaks. */
const FRAME_VERSION = 1;

// Where the parts of a header begin. The length, at 0, does not count itself.
const VERSION_AT = 4;
const FLAGS_AT = 5;
const CODE_AT = 6;
const REQUEST_ID_AT = 8;
/** The field section, with its own u16 length. */
const SECTION_AT = 12;
const HEADER_BYTES = 14;

const LENGTH_BYTES = 4;
const NO_BYTES = Buffer.alloc(0);
/** The smallest length that can be announced: a header alone. */
const FRAME_BYTES_MIN = HEADER_BYTES - LENGTH_BYTES;
const FLAG_REPLY = 0x01;
/**
 * Bodies up to this size are copied behind the header, which is cheaper than a second write. In
 * bytes.
 */
const JOIN_BYTES_MAX = 16 * 1024;
/** A longer frame gets memory of its own once its length is known. In bytes. */
const QUEUED_BYTES_MAX = 64 * 1024;

/** A frame of which only the header has been read. */
export interface Frame {
  /** Whether it answers a request. */
  readonly reply: boolean;
  /** Opcode of a request, status of a reply (0 is success). */
  readonly code: number;
  /** 0 for messages about the connection itself: GOAWAY, and the error that ends it. */
  readonly requestId: number;
  /** The field section with its u16 length, as `Fields.decode` takes it; not yet checked. */
  readonly fieldBytes: Buffer;
  readonly body: Buffer;
}

/**
 * Cuts a stream of bytes into frames. Pure: no sockets, no timers. A large frame is copied into
 * place as it arrives, so that its chunks can be freed at once; memory for its whole length is
 * allocated when its header is read.
 *
 * Invariants, whatever is pushed in whatever pieces:
 * - bytes pushed = bytes of the frames given out (4 + length each) + `bufferedBytes`;
 * - once `next` has returned undefined, `bufferedBytes` < 4 + `frameBytesMax`;
 * - a byte is copied at most twice, and a header once more for each of its two parts; what
 *   `pushCopy` takes is copied once before;
 * - after an error nothing is held, nothing is taken in, and the same error is thrown again.
 */
export class FrameDecoder {
  readonly #frameBytesMax: number;
  readonly #queue = new ByteQueue();
  /** Length of the frame that has begun, once read and checked. */
  #length: number | undefined;
  #headerChecked = false;
  /** The large frame that is being received, and how much of it has arrived. */
  #large: Buffer | undefined;
  #largeBytes = 0;
  #largeCopiedBytes = 0;
  #error: EncServerError | undefined;

  /** @param frameBytesMax Longest frame after its length; never more than the format allows. */
  constructor(frameBytesMax: number) {
    this.#frameBytesMax = Math.min(frameBytesMax, FRAME_BYTES_MAX);
  }

  /** Bytes that were pushed and not yet given out. */
  get bufferedBytes(): number {
    return this.#largeBytes + this.#queue.bytes;
  }

  /**
   * Bytes copied so far, for checking that the work stays linear; without the first copy of what
   * {@link pushCopy} took.
   */
  get copiedBytes(): number {
    return this.#largeCopiedBytes + this.#queue.copiedBytes;
  }

  /** Takes a chunk in by reference; its bytes must not change any more. */
  push(chunk: Buffer): void {
    if (this.#error !== undefined) return;
    const taken = this.#large === undefined ? 0 : this.#fill(this.#large, chunk);
    this.#queue.push(taken === 0 ? chunk : chunk.subarray(taken));
  }

  /** As {@link push}, for bytes that will change: whatever is kept of them is copied. */
  pushCopy(bytes: Buffer): void {
    if (this.#error !== undefined) return;
    const taken = this.#large === undefined ? 0 : this.#fill(this.#large, bytes);
    if (taken < bytes.length) this.#queue.push(Buffer.from(bytes.subarray(taken)));
  }

  /**
   * The announced length of the frame that has begun (without its first 4 bytes), so that room for
   * it can be reserved; undefined until it is known.
   *
   * @throws EncServerError `FRAME_TOO_LARGE`, `BAD_FRAME`; the connection must be closed.
   */
  nextLength(): number | undefined {
    if (this.#error !== undefined) throw this.#error;
    if (this.#length === undefined && this.#queue.bytes >= LENGTH_BYTES) {
      const length = this.#queue.peekU32();
      this.#throwIf(lengthFault(length, this.#frameBytesMax));
      this.#length = length;
    }
    return this.#length;
  }

  /** Whether the frame that has begun is here whole. */
  get isWhole(): boolean {
    const length = this.nextLength();
    return length !== undefined && this.bufferedBytes >= LENGTH_BYTES + length;
  }

  /**
   * The next whole frame, or undefined while more bytes are needed. A wrong header is refused
   * before the rest of its frame has arrived.
   *
   * @throws EncServerError `FRAME_TOO_LARGE`, `BAD_FRAME`, `UNSUPPORTED_VERSION`; the connection
   *   must be closed.
   */
  next(): Frame | undefined {
    const length = this.nextLength();
    if (length === undefined || this.bufferedBytes < HEADER_BYTES) return undefined;
    const bytes = this.#takeWhole(LENGTH_BYTES + length);
    if (!this.#headerChecked) {
      this.#throwIf(headerFault(bytes ?? this.#queue.peek(HEADER_BYTES)));
      this.#headerChecked = true;
      const isLarge = bytes === undefined && length > QUEUED_BYTES_MAX;
      if (isLarge) this.#beginLarge(LENGTH_BYTES + length);
    }
    if (bytes === undefined) return undefined;
    this.#length = undefined;
    this.#headerChecked = false;
    return cutFrame(bytes);
  }

  /** The bytes of the frame that has begun, if all of them are there. */
  #takeWhole(frameBytes: number): Buffer | undefined {
    if (this.#large === undefined) {
      return this.#queue.bytes >= frameBytes ? this.#queue.take(frameBytes) : undefined;
    }
    if (this.#largeBytes < frameBytes) return undefined;
    const bytes = this.#large;
    this.#dropLarge();
    return bytes;
  }

  /** Moves what has arrived of a frame into memory for all of it. */
  #beginLarge(frameBytes: number): void {
    this.#large = Buffer.allocUnsafeSlow(frameBytes);
    while (this.#queue.bytes > 0) {
      const chunk = this.#queue.front();
      this.#queue.take(chunk.length);
      this.#fill(this.#large, chunk);
    }
  }

  /** Returns how much of the chunk belongs to the frame. */
  #fill(large: Buffer, chunk: Buffer): number {
    const copied = chunk.copy(large, this.#largeBytes);
    this.#largeBytes += copied;
    this.#largeCopiedBytes += copied;
    return copied;
  }

  #dropLarge(): void {
    this.#large = undefined;
    this.#largeBytes = 0;
  }

  /** Releases everything, and stays in error. */
  #throwIf(fault: EncServerError | undefined): void {
    if (fault === undefined) return;
    this.#error = fault;
    this.#queue.clear();
    this.#dropLarge();
    throw fault;
  }
}

function lengthFault(length: number, frameBytesMax: number): EncServerError | undefined {
  if (length > frameBytesMax) {
    const words = `the frame announces ${length} bytes, the most is ${frameBytesMax}`;
    return new EncServerError('FRAME_TOO_LARGE', words);
  }
  if (length < FRAME_BYTES_MIN) {
    return new EncServerError('BAD_FRAME', `a frame has at least ${FRAME_BYTES_MIN} bytes`);
  }
  return undefined;
}

/** The version is checked first: what follows it may mean something else in another version. */
function headerFault(header: Buffer): EncServerError | undefined {
  const version = header.readUInt8(VERSION_AT);
  const flags = header.readUInt8(FLAGS_AT);
  if (version !== FRAME_VERSION) {
    return new EncServerError('UNSUPPORTED_VERSION', `frame version ${version} is not known`);
  }
  if ((flags & ~FLAG_REPLY) !== 0) {
    return new EncServerError('BAD_FRAME', 'a flag is set that is not known');
  }
  if (
    flags === 0 &&
    header.readUInt32BE(REQUEST_ID_AT) === 0 &&
    header.readUInt16BE(CODE_AT) !== OPCODE.GOAWAY
  ) {
    return new EncServerError('BAD_FRAME', 'request ID 0 is not for requests');
  }
  return undefined;
}

function cutFrame(bytes: Buffer): Frame {
  // A section that claims more than there is gets everything: Fields.decode then refuses it, and
  // only this request fails.
  const bodyOffset = Math.min(HEADER_BYTES + bytes.readUInt16BE(SECTION_AT), bytes.length);
  return {
    reply: (bytes.readUInt8(FLAGS_AT) & FLAG_REPLY) !== 0,
    code: bytes.readUInt16BE(CODE_AT),
    requestId: bytes.readUInt32BE(REQUEST_ID_AT),
    fieldBytes: bytes.subarray(SECTION_AT, bodyOffset),
    body: bytes.subarray(bodyOffset),
  };
}

/**
 * A request as one buffer, or, if the body is large, as two, the second of which is `body` itself.
 *
 * @param requestId 1 to 2^32 - 1, not under way on this connection; 0 for GOAWAY only.
 * @throws EncServerError `FRAME_TOO_LARGE` if no frame could hold it; `INVALID_FIELD` if the fields
 *   have more than 65,535 bytes.
 */
export function encodeRequest(
  opcode: number,
  requestId: number,
  fields: readonly FieldEntry[],
  body?: Buffer,
): Buffer[] {
  return encodeFrame(false, opcode, requestId, fields, body);
}

/** A reply; as {@link encodeRequest}, with a status from lib/errors.ts or 0. */
export function encodeReply(
  status: number,
  requestId: number,
  fields: readonly FieldEntry[],
  body?: Buffer,
): Buffer[] {
  return encodeFrame(true, status, requestId, fields, body);
}

function encodeFrame(
  reply: boolean,
  code: number,
  requestId: number,
  fields: readonly FieldEntry[],
  body: Buffer = NO_BYTES,
): Buffer[] {
  const sectionBytes = fieldsLength(fields);
  const length = FRAME_BYTES_MIN + sectionBytes + body.length;
  if (sectionBytes > FIELD_SECTION_BYTES_MAX) {
    throw new EncServerError('INVALID_FIELD', `the fields have ${sectionBytes} bytes together`);
  }
  if (length >= FRAME_BYTES_CEILING) {
    throw new EncServerError('FRAME_TOO_LARGE', `no frame can hold ${length} bytes`);
  }
  const joined = body.length <= JOIN_BYTES_MAX;
  const head = Buffer.allocUnsafe(HEADER_BYTES + sectionBytes + (joined ? body.length : 0));
  head.writeUInt32BE(length, 0);
  head.writeUInt8(FRAME_VERSION, VERSION_AT);
  head.writeUInt8(reply ? FLAG_REPLY : 0, FLAGS_AT);
  head.writeUInt16BE(code, CODE_AT);
  head.writeUInt32BE(requestId, REQUEST_ID_AT);
  head.writeUInt16BE(sectionBytes, SECTION_AT);
  writeFields(fields, reply, head, HEADER_BYTES);
  if (!joined) return [head, body];
  head.set(body, HEADER_BYTES + sectionBytes);
  return [head];
}
