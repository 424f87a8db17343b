/**
 * How a connection that turned out to speak HTTP gets to its server. The server never listens
 * itself: it is loaded at the first such connection and given sockets that the listener took.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Limits } from '../protocol/limits.ts';
import type { DialectHandler } from './listener.ts';
import { problemResponse, refusalIn } from './refusals.ts';

/** A server of Node's that does not listen, and what belongs to it. */
export interface HttpSurface {
  readonly server: Server;
  close(): Promise<void>;
}

export type LoadHttp = () => Promise<HttpSurface>;

/** Options for whoever makes the server; the other times are set by the door. */
export function httpServerOptions(limits: Limits): { connectionsCheckingInterval: number } {
  return { connectionsCheckingInterval: Math.min(1_000, Math.ceil(limits.receiveTimeoutMs / 4)) };
}

/** How often a closing door looks for connections that have become idle, in milliseconds. */
const IDLE_CHECK_MS = 25;
/** How long a refused connection may take to read why, in milliseconds. */
const LINGER_MS = 1_000;

export class HttpDoor {
  readonly #load: LoadHttp;
  readonly #limits: Limits;
  readonly #log: Logger;
  readonly #underWay = new Set<ServerResponse>();
  readonly #owed = new WeakMap<Socket, Set<ServerResponse>>();
  #surface: Promise<HttpSurface> | undefined;
  #server: Server | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  #draining = false;

  constructor(load: LoadHttp, limits: Limits, log: Logger) {
    this.#load = load;
    this.#limits = limits;
    this.#log = log;
  }

  /** Takes a connection over from the listener. */
  readonly take: DialectHandler = (socket, head, ended) => {
    // An input that ended before the dialect was known has no whole request in it.
    if (ended) {
      refuse(socket, new EncServerError('INVALID_LINE', 'the request is not complete'));
      return;
    }
    if (head.length > 0) socket.unshift(head);
    if (this.#server !== undefined) {
      this.#give(this.#server, socket);
      return;
    }
    this.#open().then(
      ({ server }) => this.#give(server, socket),
      (error) => {
        this.#log.error({ err: error }, 'the HTTP server could not be loaded');
        refuse(socket, new EncServerError('UNAVAILABLE', 'the HTTP server could not be loaded'));
      },
    );
  };

  /**
   * Lets what is under way be answered, each answer the last of its connection, and closes
   * idle connections at once.
   */
  drain(): void {
    this.#draining = true;
    for (const response of this.#underWay) lastOfConnection(response);
    const server = this.#server;
    if (server === undefined) return;
    server.closeIdleConnections();
    this.#idleTimer = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
    this.#idleTimer.unref();
  }

  /** Frees what the server holds; its connections are gone by then. */
  async close(): Promise<void> {
    clearInterval(this.#idleTimer);
    const surface = await this.#surface?.catch(() => undefined);
    surface?.server.closeAllConnections();
    await surface?.close();
  }

  /** Two connections may come before the server is there: it is loaded once. */
  #open(): Promise<HttpSurface> {
    this.#surface ??= this.#load().then((surface) => {
      this.#prepare(surface.server);
      return surface;
    });
    this.#surface.catch(() => {
      this.#surface = undefined;
    });
    return this.#surface;
  }

  #prepare(server: Server): void {
    const { receiveTimeoutMs, idleTimeoutMs, sendTimeoutMs, requestTimeoutMs } = this.#limits;
    server.headersTimeout = receiveTimeoutMs;
    server.requestTimeout = receiveTimeoutMs;
    server.keepAliveTimeout = idleTimeoutMs;
    // Silence while something is under way. Longer than each of its parts, whose own ends come
    // with an answer.
    server.setTimeout(sendTimeoutMs + receiveTimeoutMs + requestTimeoutMs);
    // A client that has sent all it will (`printf … | nc`) still gets its answer.
    (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    server.prependListener('request', (request, response) => {
      this.#begin(request.socket, response);
    });
    // Its timers for headers and requests are started by this event alone.
    server.emit('listening');
    this.#server = server;
    if (this.#draining) this.drain();
  }

  #give(server: Server, socket: Socket): void {
    if (socket.destroyed) return;
    server.emit('connection', socket);
    socket.resume();
  }

  /** Node reads on however many pipelined requests are not answered: here they have a bound. */
  #begin(socket: Socket, response: ServerResponse): void {
    const owed = this.#owedTo(socket);
    if (owed.size >= this.#limits.requestsPerConnectionMax) {
      this.#log.info('connection closed: too many HTTP requests at once');
      socket.destroy();
      return;
    }
    owed.add(response);
    this.#underWay.add(response);
    if (this.#draining) lastOfConnection(response);
    response.once('close', () => {
      this.#underWay.delete(response);
      owed.delete(response);
    });
  }

  #owedTo(socket: Socket): Set<ServerResponse> {
    const known = this.#owed.get(socket);
    if (known !== undefined) return known;
    const owed = new Set<ServerResponse>();
    this.#owed.set(socket, owed);
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
}

/** Answers what Node's parser or its timers refuse; for the event `clientError`. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // Half of another answer may be out already: more words would be taken for its rest.
  const current = (socket as Duplex & { _httpMessage?: ServerResponse })._httpMessage;
  // So is an answer that is owed for a request that came whole: these words would take its place.
  const isOwed = current?.req.complete === true && error.code !== 'ERR_HTTP_REQUEST_TIMEOUT';
  if (current?.headersSent === true || isOwed) {
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

/** Node's own bound (`--max-http-header-size`), in bytes. */
const HEADER_BYTES_MAX = 16 * 1024;

function lastOfConnection(response: ServerResponse): void {
  if (!response.headersSent) response.shouldKeepAlive = false;
}

function refuse(socket: Socket, error: EncServerError): void {
  socket.resume();
  socket.end(refusalIn('http', error));
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.on('close', () => clearTimeout(timer));
}
