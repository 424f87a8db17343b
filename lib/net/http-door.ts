/**
 * How a connection that turned out to speak HTTP reaches its server. The server never listens
 * itself: it is loaded at the first such connection and given sockets that the listener accepted.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Limits } from '../protocol/limits.ts';
import { TransientSet } from '../transient.ts';
import { toOriginForm } from './http-head.ts';
import {
  answerConnect,
  answerExpectation,
  answerOneTooMany,
  isSending,
  owe,
  takeNoMore,
} from './http-refusals.ts';
import type { DialectHandler } from './listener.ts';
import { refusalIn } from './refusals.ts';
import { sayAndClose } from './refuser.ts';
import { timerMs } from './timer.ts';

/** A Node server that does not listen, and what belongs to it. */
export interface HttpSurface {
  readonly server: Server;
  close(): Promise<void>;
}

export type LoadHttp = () => Promise<HttpSurface>;

/** Options for the code that makes the server; the other times are set by the door. */
export function httpServerOptions(limits: Limits) {
  const connectionsCheckingInterval = Math.min(1_000, Math.ceil(limits.receiveTimeoutMs / 4));
  // `checkHost` requires the header instead, with a proper message.
  return { connectionsCheckingInterval, requireHostHeader: false };
}

/** How often a closing door looks for connections that have become idle, in milliseconds. */
const IDLE_CHECK_MS = 25;
/** How long a refused connection may take to read why, in milliseconds. */
const LINGER_MS = 1_000;

export class HttpDoor {
  readonly #load: LoadHttp;
  readonly #limits: Limits;
  readonly #log: Logger;
  readonly #underWay = new TransientSet<ServerResponse>();
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
    // Input that ended before the dialect was known holds no complete request.
    if (ended) {
      const hint = 'an empty line ends the headers; see RFC 9112';
      const error = new EncServerError('INVALID_LINE', 'the request is not complete', { hint });
      sayAndClose(socket, refusalIn('http', error));
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
        const words = 'the HTTP server could not be loaded';
        this.#log.error({ err: error }, words);
        sayAndClose(socket, refusalIn('http', new EncServerError('UNAVAILABLE', words)));
      },
    );
  };

  /**
   * Lets requests under way be answered, each answer the last of its connection, and closes idle
   * connections at once.
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

  /** Two connections may come before the server is there, but it is loaded only once. */
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
    const { receiveTimeoutMs, idleTimeoutMs } = this.#limits;
    server.headersTimeout = receiveTimeoutMs;
    server.requestTimeout = receiveTimeoutMs;
    server.keepAliveTimeout = idleTimeoutMs;
    server.setTimeout(silenceMs(this.#limits));
    server.on('timeout', (socket: Socket) => {
      if (socket.writableLength > 0)
        this.#log.info('connection closed: its answers were not taken');
      socket.destroy();
    });
    // A client that has ended its input (`printf … | nc`) still gets its answer.
    (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    // Their bytes are bounded. Node would silently drop those beyond 2,000, conditions included.
    server.maxHeadersCount = 0;
    const serve = server.listeners('request');
    server.removeAllListeners('request');
    server.on('request', (request, response) => {
      toOriginForm(request);
      if (!this.#begin(request, response)) return;
      for (const one of serve) one.call(server, request, response);
    });
    server.on('checkExpectation', (request, response) => {
      if (this.#begin(request, response)) answerExpectation(request, response);
    });
    server.on('connect', answerConnect);
    // Only this event starts Node's timers for headers and requests.
    server.emit('listening');
    this.#server = server;
    if (this.#draining) this.drain();
  }

  #give(server: Server, socket: Socket): void {
    if (socket.destroyed) return;
    closeInSteps(socket);
    server.emit('connection', socket);
    socket.resume();
  }

  /**
   * Node reads on however many pipelined requests are unanswered: they are bounded here. Returns
   * whether this one is to be served.
   */
  #begin({ socket, headers }: IncomingMessage, response: ServerResponse): boolean {
    if (owe(socket, response) > this.#limits.requestsPerConnectionMax) {
      if (answerOneTooMany(response)) {
        this.#log.info('connection closed: too many HTTP requests at once');
      }
      return false;
    }
    this.#underWay.add(response);
    // Node's parser stops at an upgrade, which we do not do, and loses what came along with it: what
    // comes after that begins anywhere, perhaps in the middle of a body.
    if (headers.upgrade !== undefined) takeNoMore(socket);
    if (this.#draining || headers.upgrade !== undefined) lastOfConnection(response);
    response.once('close', () => this.#underWay.delete(response));
    response.once('prefinish', () => {
      // Most answers are out at once.
      if (socket.writableLength > 0) boundSending(response, this.#limits);
    });
    return true;
  }
}

const bounded = new WeakSet<ServerResponse>();

/**
 * From now until the answer is out, its receiver has to take some of it in each `sendTimeoutMs`.
 * Node looks whether it has only once in each of these times.
 */
export function boundSending(response: ServerResponse, limits: Limits): void {
  const { socket } = response;
  // An answer in slices is bounded from its start, and comes here again when all of it is handed on.
  if (socket === null || bounded.has(response)) return;
  bounded.add(response);
  socket.setTimeout(limits.sendTimeoutMs);
  // Before Node's own listener, which sets the time between two requests.
  response.prependOnceListener('finish', () => socket.setTimeout(silenceMs(limits)));
}

/**
 * Bounds silence while something is under way. Longer than each single timeout, since those end
 * with an answer.
 */
function silenceMs({ sendTimeoutMs, receiveTimeoutMs, requestTimeoutMs }: Limits): number {
  return timerMs(sendTimeoutMs + receiveTimeoutMs + requestTimeoutMs);
}

function lastOfConnection(response: ServerResponse): void {
  if (!response.headersSent) response.shouldKeepAlive = false;
}

/**
 * Node closes a connection once its last answer is written, even while the other side still sends a
 * body that was refused. The unread bytes then reset the connection, and the reset takes the answer
 * with it. So our end is sent, and further input is read and dropped (RFC 9112 section 9.6).
 */
function closeInSteps(socket: Socket): void {
  const atOnce = socket.destroySoon.bind(socket);
  socket.destroySoon = () => {
    if (!isSending(socket)) return atOnce();
    takeNoMore(socket);
    socket.resume();
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  };
}
