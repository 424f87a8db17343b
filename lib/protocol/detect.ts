/** Which dialect a connection speaks, from its first bytes (docs/PROTOCOL.md, "Detection"). */
import { DETECT_BYTES_MAX } from './limits.ts';

/** `unknown` is none of them: the connection is refused with a message. */
export type Dialect = 'frames' | 'text' | 'http' | 'http2' | 'tls' | 'unknown';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
/** First byte of a frame: the top byte of a length below 2^24. */
const FRAME_FIRST_BYTE = 0x00;
/** Content type "handshake" of a TLS record (RFC 8446 section 5.1). */
const TLS_FIRST_BYTE = 0x16;
/** Longest first word that can be a verb or a method, in bytes. */
const WORD_BYTES_MAX = 16;

/** Verbs that only text lines have; DELETE is a method of HTTP too. */
const TEXT_VERBS: ReadonlySet<string> = new Set(
  'STORE RETRIEVE STORE64 RETRIEVE64 HELP PING INFO QUIT AUTH'.split(' '),
);
/** Methods that only HTTP has (RFC 9110 section 9, RFC 5789). */
const HTTP_METHODS: ReadonlySet<string> = new Set(
  'GET POST PUT HEAD OPTIONS PATCH TRACE CONNECT'.split(' '),
);
/** RFC 9113 section 3.4. */
const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const HTTP_ENDINGS = [Buffer.from(' HTTP/1.1'), Buffer.from(' HTTP/1.0')];

/**
 * The dialect of a connection that began with `bytes`, or undefined while more are needed. Decides
 * at {@link DETECT_BYTES_MAX} bytes at the latest. It looks at all of them each time: what still
 * grows is for a {@link Detector}. It never mistakes an HTTP request with a method that browsers send across origins for
 * text, nor a STORE for HTTP, whatever the record contains.
 *
 * @param ended No more bytes will come: those so far count as a line. None at all: `unknown`.
 */
export function detect(bytes: Buffer, ended: boolean): Dialect | undefined {
  switch (bytes[0]) {
    case undefined:
      return ended ? 'unknown' : undefined;
    case FRAME_FIRST_BYTE:
      return 'frames';
    case TLS_FIRST_BYTE:
      return 'tls';
    case CR:
    case LF:
      return 'text';
  }
  const wordBytes = wordLength(bytes);
  if (wordBytes === undefined) return 'unknown';
  const delimiter = bytes[wordBytes];
  if (delimiter === undefined) return ended ? 'text' : undefined;
  const word = bytes.toString('latin1', 0, wordBytes);
  if (TEXT_VERBS.has(word)) return 'text';
  if (delimiter === SPACE && HTTP_METHODS.has(word)) return 'http';
  if (startsAsHttp2(bytes)) {
    if (bytes.length >= HTTP2_PREFACE.length) return 'http2';
    if (!ended) return undefined;
  }
  return detectByLine(bytes, wordBytes, ended);
}

/**
 * {@link detect} for bytes that arrive in pieces. Each byte is copied at most three times and
 * looked at a bounded number of times, in whatever pieces: `workBytes` lets a test verify that.
 */
export class Detector {
  /** The bytes so far, and room for more. */
  #room: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #workBytes = 0;

  /** What was pushed; once the dialect is told, its bytes change no more. */
  get head(): Buffer {
    return this.#room.subarray(0, this.#bytes);
  }

  /** Bytes copied, searched and given to {@link detect} so far. */
  get workBytes(): number {
    return this.#workBytes;
  }

  /** The dialect, or undefined while more bytes are needed. */
  push(chunk: Buffer): Dialect | undefined {
    // Longer than a word and than the preface of HTTP/2: only the end of the line can tell.
    const isInLine = this.#bytes >= HTTP2_PREFACE.length;
    this.#append(chunk);
    if (isInLine && this.#bytes < DETECT_BYTES_MAX) {
      this.#workBytes += chunk.length;
      if (!chunk.includes(LF)) return undefined;
    }
    this.#workBytes += this.#bytes;
    return detect(this.head, false);
  }

  /** No more bytes will come. */
  end(): Dialect {
    this.#workBytes += this.#bytes;
    return detect(this.head, true) ?? 'unknown';
  }

  /** The first chunk, which mostly is the only one, by reference. */
  #append(chunk: Buffer): void {
    const bytes = this.#bytes + chunk.length;
    if (this.#bytes === 0) {
      this.#room = chunk;
    } else {
      if (bytes > this.#room.length) {
        const larger = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#room.length));
        this.#workBytes += this.head.copy(larger);
        this.#room = larger;
      }
      this.#workBytes += chunk.copy(this.#room, this.#bytes);
    }
    this.#bytes = bytes;
  }
}

/** The first word belongs to both dialects, or to neither: the whole line tells. */
function detectByLine(bytes: Buffer, wordBytes: number, ended: boolean): Dialect | undefined {
  const head = bytes.subarray(0, DETECT_BYTES_MAX);
  const end = head.indexOf(LF, wordBytes);
  if (end !== -1) return isRequestLine(head.subarray(0, end), wordBytes) ? 'http' : 'text';
  if (bytes.length >= DETECT_BYTES_MAX) return 'text';
  if (!ended) return undefined;
  return isRequestLine(head, wordBytes) ? 'http' : 'text';
}

/** Length of the first word, even if it has not ended; undefined if it cannot be a word. */
function wordLength(bytes: Buffer): number | undefined {
  const end = Math.min(bytes.length, WORD_BYTES_MAX + 1);
  for (let index = 0; index < end; index++) {
    const byte = bytes[index] as number;
    if (byte === SPACE || byte === CR || byte === LF) return index > 0 ? index : undefined;
    if (!isWordByte(byte)) return undefined;
  }
  return end <= WORD_BYTES_MAX ? end : undefined;
}

/** ASCII letters and digits, `-` and `_`. */
function isWordByte(byte: number): boolean {
  const letter = byte | 0x20;
  if (letter >= 0x61 && letter <= 0x7a) return true;
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x5f;
}

function startsAsHttp2(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, HTTP2_PREFACE.length);
  return bytes.compare(HTTP2_PREFACE, 0, length, 0, length) === 0;
}

/** Exactly three tokens, the last of them `HTTP/1.0` or `HTTP/1.1` (RFC 9112 section 3). */
function isRequestLine(line: Buffer, wordBytes: number): boolean {
  const content = line.at(-1) === CR ? line.subarray(0, -1) : line;
  const ending = content.subarray(-9);
  if (content[wordBytes] !== SPACE || !HTTP_ENDINGS.some((form) => ending.equals(form)))
    return false;
  const target = content.subarray(wordBytes + 1, -9);
  return target.length > 0 && !target.includes(SPACE);
}
