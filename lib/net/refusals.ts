/** Refusals of whole connections, in the format of each dialect. */
import { EncServerError } from '../errors.ts';
import type { Dialect } from '../protocol/detect.ts';
import { encodeErrorReply } from '../protocol/error-reply.ts';
import { errorLine } from '../protocol/text.ts';

/** The error for a new request while the server closes. */
export function closing(): EncServerError {
  return new EncServerError('GOAWAY', 'the server is closing');
}

/** TLS alert record (RFC 8446 section 6): fatal, handshake_failure (40). */
const TLS_ALERT = Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28]);

/** HTTP/2 error code HTTP_1_1_REQUIRED (RFC 9113 section 7). */
const HTTP_1_1_REQUIRED = 0x0d;

/** An empty SETTINGS frame and a GOAWAY with its reason (RFC 9113 sections 6.5 and 6.8). */
function http2Goaway(words: string): Buffer {
  const text = Buffer.from(words);
  const frames = Buffer.alloc(9 + 9 + 8);
  frames.writeUInt8(0x04, 3);
  frames.writeUIntBE(8 + text.length, 9, 3);
  frames.writeUInt8(0x07, 12);
  frames.writeUInt32BE(HTTP_1_1_REQUIRED, 22);
  return Buffer.concat([frames, text]);
}

/** The headers of every problem-details answer that does not come from a route. */
export const PROBLEM_HEADERS = {
  'Content-Type': 'application/problem+json',
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
} as const;

/** After how many seconds a client may retry, if that can help and nothing better is known. */
const RETRY_AFTER_S = 1;

/** The value of `Retry-After`, in seconds (RFC 9110 section 10.2.3); undefined if it has none. */
export function retryAfterS(
  { retryAfterMs = 0 }: EncServerError,
  status: number,
): number | undefined {
  if (status !== 429 && status !== 503) return undefined;
  return Math.max(RETRY_AFTER_S, Math.ceil(retryAfterMs / 1_000));
}

/** Problem details (RFC 9457). */
export function problemBody(error: EncServerError, status: number): string {
  const { message, hint, code } = error;
  return JSON.stringify({ type: 'about:blank', title: message, status, code, detail: hint });
}

/**
 * A complete HTTP answer with problem details, the last of its connection. A reason phrase would
 * add nothing to the body.
 */
export function problemResponse(error: EncServerError, status: number = error.row.http): Buffer {
  const body = problemBody(error, status);
  const headers = {
    Date: new Date().toUTCString(),
    ...PROBLEM_HEADERS,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`HTTP/1.1 ${status} \r\n${lines.join('')}\r\n${body}`);
}

/** The last bytes to a connection that is not served, for any reason. */
export function refusalIn(dialect: Dialect, error: EncServerError): Buffer {
  switch (dialect) {
    case 'frames':
      return Buffer.concat(encodeErrorReply(0, error));
    case 'http':
      return problemResponse(error);
    case 'http2':
      return http2Goaway(`${error.message}; ${error.hint}`);
    case 'tls':
      return TLS_ALERT;
    default:
      return errorLine(error);
  }
}

/** The names of the dialects, as people write them. */
const NAMES: Readonly<Partial<Record<Dialect, string>>> = {
  http: 'HTTP',
  http2: 'HTTP/2',
  tls: 'TLS',
};

/** The last bytes to a connection whose dialect is not spoken here. */
export function refusalOf(dialect: Dialect): Buffer {
  if (dialect === 'unknown') {
    const words = 'these are neither text lines nor binary frames';
    return refusalIn(dialect, new EncServerError('UNKNOWN_DIALECT', words));
  }
  const words = `${NAMES[dialect] ?? dialect} is not spoken here`;
  return refusalIn(dialect, new EncServerError('UNSUPPORTED_DIALECT', words));
}
