/**
 * Answers what Node's HTTP parser or timers refuse, in its turn: all earlier requests of the
 * connection are answered first (RFC 9112 section 9.3.2). A write whose answer is dropped would
 * still have been done, under a key that nobody has.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { EncServerError } from '../errors.ts';
import { TransientSet } from '../transient.ts';
import { PROBLEM_HEADERS, problemBody, problemResponse, retryAfterS } from './refusals.ts';

/** Answers that are owed on a connection, in order. */
const OWED = new WeakMap<Duplex, TransientSet<ServerResponse>>();
/** The answer to the latest request of a connection. */
const LAST = new WeakMap<Duplex, ServerResponse>();
/** Connections whose last answer is decided: later requests on them are not executed. */
const REFUSED = new WeakSet<Duplex>();
/** Requests that no answer would reach. */
const DROPPED = new WeakSet<IncomingMessage>();
/** Connections of which nothing more is read. */
const UNREAD = new WeakSet<Duplex>();
/** Node's own bound (`--max-http-header-size`), in bytes. */
const HEADER_BYTES_MAX = 16 * 1024;

/** Counts an answer among those that are owed, until it is closed; returns how many there are. */
export function owe(socket: Socket, response: ServerResponse): number {
  const owed = owedTo(socket);
  owed.add(response);
  LAST.set(socket, response);
  if (REFUSED.has(socket)) DROPPED.add(response.req);
  response.once('close', () => owed.delete(response));
  return owed.size;
}

function owedTo(socket: Socket): TransientSet<ServerResponse> {
  const known = OWED.get(socket);
  if (known !== undefined) return known;
  const owed = new TransientSet<ServerResponse>();
  OWED.set(socket, owed);
  // Node closes only the response whose turn it is. Those behind it would never hear that the
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

/**
 * A request whose answer would reach nobody is not executed. Call this when its turn has come and
 * all of it has arrived.
 *
 * @throws EncServerError `CANCELLED`
 */
export function checkAnswerable(request: IncomingMessage): void {
  if (!DROPPED.has(request) && !request.socket.destroyed) return;
  throw new EncServerError('CANCELLED', 'no answer would arrive');
}

/** Whether the other side is, or may be, still sending requests that are already answered. */
export function isSending(socket: Socket): boolean {
  return UNREAD.has(socket) || LAST.get(socket)?.req.complete === false;
}

/** Makes the answer under way the last one of its connection. */
export function takeNoMore(socket: Duplex): void {
  REFUSED.add(socket);
}

/** For the event `clientError`. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  afterOwed(socket, () => {
    const last = LAST.get(socket);
    // The request that could not be read has its answer already, or the beginning of it.
    if (last?.req.complete === false && last.headersSent) {
      socket.destroy();
      return;
    }
    const [status, refusal] = clientErrorOf(error);
    socket.end(problemResponse(refusal, status), () => socket.destroy());
  });
}

/** Answers what is expected other than 100-continue (RFC 9110 section 10.1.1). */
export function answerExpectation(request: IncomingMessage, response: ServerResponse): void {
  const hint = 'the only expectation that is met is 100-continue';
  const error = new EncServerError('INVALID_FIELD', 'Expect asks for something else', { hint });
  // A client waiting for a different interim response never sends the body.
  response.shouldKeepAlive = false;
  takeNoMore(request.socket);
  const body = Buffer.from(problemBody(error, 417));
  response.writeHead(417, { ...PROBLEM_HEADERS, 'Content-Length': body.length }).end(body);
}

/**
 * Answers a request that is one too many for its connection, as the last one, after those before
 * it. What else arrives is dropped unread. Returns false for what had been read with it already.
 */
export function answerOneTooMany(response: ServerResponse): boolean {
  const { socket } = response.req;
  if (UNREAD.has(socket)) return false;
  UNREAD.add(socket);
  takeNoMore(socket);
  // Node's parser reads from the socket as long as nobody else does.
  socket.removeAllListeners('data').on('data', () => undefined);
  // Until the answers are out: who sends on and takes none must not seem busy.
  socket.pause();
  const hint = 'wait for answers before sending more: requestsPerConnectionMax bounds them';
  const error = new EncServerError('OVERLOADED', 'too many requests at once', { hint });
  response.shouldKeepAlive = false;
  const status = error.row.http;
  const body = Buffer.from(problemBody(error, status));
  const lengths = { 'Content-Length': body.length, 'Retry-After': retryAfterS(error, status) };
  response.writeHead(status, { ...PROBLEM_HEADERS, ...lengths }).end(body);
  return true;
}

/** For the event `connect`. */
export function answerConnect(_request: IncomingMessage, socket: Duplex): void {
  const hint = 'this is no proxy';
  const error = new EncServerError('UNKNOWN_VERB', 'CONNECT is not taken', { hint });
  afterOwed(socket, () => socket.end(problemResponse(error, 501), () => socket.destroy()));
}

/** Says the last words of a connection once every complete request is answered. */
function afterOwed(socket: Duplex, sayLast: () => void): void {
  // Node reports every further chunk that it cannot read.
  if (REFUSED.has(socket)) return;
  REFUSED.add(socket);
  const all = [...(OWED.get(socket) ?? [])];
  for (const { req } of all) if (!req.complete) DROPPED.add(req);
  const owed = all.filter(({ req }) => req.complete);
  let left = owed.length;
  const closed = () => {
    left--;
    if (left <= 0 && !socket.destroyed && socket.writable) sayLast();
  };
  if (owed.length === 0) closed();
  for (const response of owed) response.once('close', closed);
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
