/**
 * What Node's HTTP parser or its timers refuse, answered in its turn: whatever was asked before
 * it on its connection is answered first (RFC 9112 section 9.3.2). A write whose answer is
 * dropped would have been done all the same, under a key that nobody has.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { EncServerError } from '../errors.ts';
import { PROBLEM_HEADERS, problemBody, problemResponse } from './refusals.ts';

/** Answers that are owed on a connection, in their order. */
const OWED = new WeakMap<Duplex, Set<ServerResponse>>();
/** Connections of which nothing more is read. */
const REFUSED = new WeakSet<Duplex>();
/** Node's own bound (`--max-http-header-size`), in bytes. */
const HEADER_BYTES_MAX = 16 * 1024;

/** The answers that are owed on a connection; whoever adds one takes it out when it is closed. */
export function owedTo(socket: Socket): Set<ServerResponse> {
  const known = OWED.get(socket);
  if (known !== undefined) return known;
  const owed = new Set<ServerResponse>();
  OWED.set(socket, owed);
  // Node closes the response whose turn it is. Those behind it would never hear that the
  // connection is gone, and would hold their room for ever.
  socket.once('close', () => {
    for (const response of owed) {
      if (response.socket !== null) continue;
      response.destroyed = true;
      response.emit('close');
    }
  });
  return owed;
}

/** For the event `clientError`. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // Node tells of every further chunk that it cannot read.
  if (REFUSED.has(socket)) return;
  REFUSED.add(socket);
  const owed = [...(OWED.get(socket) ?? [])].filter(({ req }) => req.complete);
  let left = owed.length;
  if (left === 0) refuse(error, socket);
  for (const response of owed) {
    response.once('close', () => {
      left--;
      if (left === 0) refuse(error, socket);
    });
  }
}

/** Answers what is expected beside 100-continue (RFC 9110 section 10.1.1). */
export function answerExpectation(response: ServerResponse): void {
  const hint = 'the only expectation that is met is 100-continue';
  const error = new EncServerError('INVALID_FIELD', 'Expect asks for something else', { hint });
  // Whoever waits for another answer first sends the body never.
  response.shouldKeepAlive = false;
  response.writeHead(417, PROBLEM_HEADERS).end(problemBody(error, 417));
}

/** For the event `connect`. */
export function answerConnect(_request: IncomingMessage, socket: Duplex): void {
  const hint = 'this is no proxy';
  const error = new EncServerError('UNKNOWN_VERB', 'CONNECT is not taken', { hint });
  socket.end(problemResponse(error, 405), () => socket.destroy());
}

function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (socket.destroyed || !socket.writable) return;
  // Of the request that could not be read, an answer may have begun: more words would be taken
  // for its rest.
  const current = (socket as Duplex & { _httpMessage?: ServerResponse })._httpMessage;
  if (current?.headersSent === true) {
    socket.destroy();
    return;
  }
  const [status, refusal] = clientErrorOf(error);
  socket.end(problemResponse(refusal, status), () => socket.destroy());
}

function clientErrorOf(error: NodeJS.ErrnoException): [number, EncServerError] {
  switch (error.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, new EncServerError('TIMEOUT', 'the request did not arrive in time')];
    case 'HPE_HEADER_OVERFLOW': {
      const hint = `all headers together have at most ${HEADER_BYTES_MAX} bytes`;
      return [431, new EncServerError('LINE_TOO_LONG', 'the headers are too long', { hint })];
    }
    default: {
      const hint = 'see RFC 9112';
      return [400, new EncServerError('INVALID_LINE', 'this is no HTTP/1.1 request', { hint })];
    }
  }
}
