/**
 * One port for every dialect: accepts connections, detects each one's dialect from its first bytes,
 * and hands it over once. It knows every socket, so that closing leaves none open.
 */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { EncServerError } from '../errors.ts';
import type { Dialect } from '../protocol/detect.ts';
import { errorLine } from '../protocol/text.ts';
import { TransientMap, TransientSet } from '../transient.ts';
import { type Arrivals, OwnPort, type PortOptions } from './arrivals.ts';
import type { Connection, ConnectionHost } from './connection.ts';
import { type ConnectionBounds, ConnectionCount } from './connection-count.ts';
import { isLoopback } from './host-policy.ts';
import { type Opening, watchOpening } from './opening.ts';
import { peerOf } from './peer.ts';
import { closing, refusalIn, refusalOf } from './refusals.ts';
import { Refuser, sayAndClose } from './refuser.ts';
import type { TlsDoor } from './tls-door.ts';

/** Takes a connection over, with the bytes read so far; `ended` when no more will come. */
export type DialectHandler = (socket: Socket, head: Buffer, ended: boolean) => void;

/** Serves a dialect: a connection that the listener tracks, or a handler that takes it over. */
export type Speaker =
  | { readonly connect: (socket: Socket) => Connection }
  | { readonly take: DialectHandler };

export interface ListenerOptions extends PortOptions, ConnectionBounds {
  /** Where connections come from, if not from the port itself. */
  readonly arrivals?: Arrivals | undefined;
  /** What the server speaks; the other dialects are refused in their own format. */
  readonly dialects: Readonly<Partial<Record<Dialect, Speaker>>>;
  /** Set if TLS is spoken; the decrypted bytes are in one of the dialects. */
  readonly tls?: TlsDoor | undefined;
  /** Whether callers from other machines may do without TLS where it is offered. */
  readonly allowPlaintext: boolean;
}

/** The longest time between two checks for silence, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000;
/** How often to check whether all connections are closed, in milliseconds. */
const DRAIN_CHECK_INTERVAL_MS = 50;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #host: ConnectionHost;
  readonly #arrivals: Arrivals;
  readonly #count: ConnectionCount;
  readonly #refuser = new Refuser();
  readonly #sockets = new TransientSet<Socket>();
  /** Sockets whose dialect is not known yet, each with the function that ends the wait for it. */
  readonly #undecided = new TransientMap<Socket, () => void>();
  readonly #connections = new TransientSet<Connection>();
  #timer: NodeJS.Timeout | undefined;
  #draining = false;
  #port = 0;

  constructor(options: ListenerOptions, host: ConnectionHost) {
    this.#options = options;
    this.#host = host;
    this.#arrivals = options.arrivals ?? new OwnPort(options, host.log);
    this.#count = new ConnectionCount(options);
    if (options.tls !== undefined) options.tls.secured = (socket) => this.#secured(socket);
  }

  /** The port that is listened on; 0 before {@link listen}. */
  get port(): number {
    return this.#port;
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Resolves when connections are accepted. Rejects with `PORT_TAKEN` or `BAD_CONFIG`. */
  async listen(): Promise<void> {
    this.#port = await this.#arrivals.open((socket) => this.#accept(socket));
    // Often enough that even the shortest configured timeout is not exceeded by much.
    const { receiveTimeoutMs, sendTimeoutMs, idleTimeoutMs } = this.#host.limits;
    const shortestMs = Math.min(receiveTimeoutMs, sendTimeoutMs, idleTimeoutMs);
    const intervalMs = Math.min(CHECK_INTERVAL_MS, Math.max(10, shortestMs / 4));
    this.#timer = setInterval(() => this.#checkTime(), intervalMs);
    this.#timer.unref();
  }

  /**
   * Stops accepting, lets every connection finish its requests, and resolves when all are closed;
   * those still open after `timeoutMs` are cut.
   */
  async close(timeoutMs: number): Promise<void> {
    this.#draining = true;
    this.#arrivals.close();
    for (const [socket, stop] of this.#undecided) {
      stop();
      // In the dialect that its first bytes tell, if they come: they may be on the way.
      this.#refuser.refuse(socket, closing());
    }
    this.#options.tls?.drain();
    for (const connection of this.#connections) connection.drain();
    const deadlineMs = performance.now() + timeoutMs;
    while (this.#sockets.size > 0 && performance.now() < deadlineMs) {
      await sleep(Math.min(DRAIN_CHECK_INTERVAL_MS, Math.max(1, deadlineMs - performance.now())));
      this.#checkTime();
    }
    for (const socket of this.#sockets) socket.destroy();
    this.#refuser.close();
    clearInterval(this.#timer);
    this.#options.tls?.close();
  }

  #accept(socket: Socket): void {
    socket.on('error', (error) => this.#host.log.debug({ err: error }, 'socket failed'));
    const refusal = this.#draining ? closing() : this.#countIn(socket);
    if (refusal !== undefined) {
      this.#refuser.refuse(socket, refusal);
      return;
    }
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    this.#watch(socket);
  }

  /** Counts a connection until it closes; or says why it is one too many. */
  #countIn(socket: Socket): EncServerError | undefined {
    const { address } = peerOf(socket);
    const refusal = this.#count.enter(address);
    if (refusal === undefined) socket.on('close', () => this.#count.leave(address));
    return refusal;
  }

  #watch(socket: Socket): void {
    const { firstByteTimeoutMs } = this.#host.limits;
    socket.on('close', () => this.#undecided.delete(socket));
    const stop = watchOpening(socket, firstByteTimeoutMs, (opening, head, ended) => {
      this.#undecided.delete(socket);
      this.#handOver(socket, opening, head, ended);
    });
    this.#undecided.set(socket, stop);
  }

  /**
   * The handshake is done: detection begins again inside TLS, except that TLS in TLS is refused.
   */
  #secured(socket: TLSSocket): void {
    socket.on('error', (error) => this.#host.log.debug({ err: error }, 'TLS socket failed'));
    // The underlying socket stays in the set; closing either closes both.
    if (this.#draining) this.#refuser.refuse(socket, closing());
    else this.#watch(socket);
  }

  #handOver(socket: Socket, opening: Opening, head: Buffer, ended: boolean): void {
    const { tls } = this.#options;
    if (opening === 'tls' && tls !== undefined && !(socket instanceof TLSSocket)) {
      if (ended) socket.destroy();
      else tls.take(socket, head);
    } else if (this.#mustBeSecure(socket) && opening !== 'silent' && opening !== 'late') {
      const hint = 'call it with --tls-ca; in front of it, allowPlaintext lets a proxy in';
      const error = new EncServerError('NOT_ALLOWED', 'only TLS is spoken here', { hint });
      sayAndClose(socket, refusalIn(opening, error));
    } else if (opening === 'silent') {
      socket.end();
    } else if (opening === 'late') {
      const words = 'the first line did not arrive in time';
      sayAndClose(socket, errorLine(new EncServerError('TIMEOUT', words)));
    } else {
      this.#speak(opening, socket, head, ended);
    }
  }

  #speak(dialect: Dialect, socket: Socket, head: Buffer, ended: boolean): void {
    const speaker = this.#options.dialects[dialect];
    if (speaker === undefined) {
      this.#host.log.debug({ dialect }, 'connection refused');
      sayAndClose(socket, refusalOf(dialect));
    } else if ('take' in speaker) {
      speaker.take(socket, head, ended);
    } else {
      this.#start(speaker.connect(socket), socket, head, ended);
    }
  }

  #mustBeSecure(socket: Socket): boolean {
    const { tls, allowPlaintext } = this.#options;
    if (tls === undefined || allowPlaintext || socket instanceof TLSSocket) return false;
    return !isLoopback(peerOf(socket).address);
  }

  #start(connection: Connection, socket: Socket, head: Buffer, ended: boolean): void {
    this.#connections.add(connection);
    socket.on('close', () => {
      this.#connections.delete(connection);
      connection.closed();
    });
    connection.start(head, ended);
    if (this.#draining) connection.drain();
  }

  #checkTime(): void {
    const now = performance.now();
    for (const connection of this.#connections) connection.checkTime(now);
  }
}
