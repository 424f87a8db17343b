/**
 * One port for every dialect: accepts connections, tells by the first bytes what each speaks,
 * and hands it over once. It knows every socket, so that closing means closed.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { EncServerError } from '../errors.ts';
import { type Dialect, detect } from '../protocol/detect.ts';
import { errorLine } from '../protocol/text.ts';
import type { Connection, ConnectionHost } from './connection.ts';
import { isLoopback } from './host-policy.ts';
import { type Opening, watchOpening } from './opening.ts';
import { peerOf } from './peer.ts';
import { refusalIn, refusalOf } from './refusals.ts';
import type { TlsDoor } from './tls-door.ts';

/** Takes a connection over, with the bytes read so far; `ended` when no more will come. */
export type DialectHandler = (socket: Socket, head: Buffer, ended: boolean) => void;

/** Who speaks a dialect: a connection that the listener looks after, or one who takes it over. */
export type Speaker =
  | { readonly connect: (socket: Socket) => Connection }
  | { readonly take: DialectHandler };

export interface ListenerOptions {
  /** `localhost` is both loopback addresses, v4 and v6. */
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly connectionsMax: number;
  /** What the server speaks; the other dialects are refused in words of their own. */
  readonly dialects: Readonly<Partial<Record<Dialect, Speaker>>>;
  /** Where TLS is spoken; what comes out of it speaks one of the dialects. */
  readonly tls?: TlsDoor | undefined;
  /** Whether others than this machine may do without TLS where it is spoken. */
  readonly allowPlaintext: boolean;
  readonly connectionsPerAddressMax: number;
  /** For the error when the port is taken: the flag that changes it. */
  readonly portFlag: string;
}

/** How often silence is looked for at the least, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000;
/** How often it is looked for whether all are closed, in milliseconds. */
const DRAIN_CHECK_INTERVAL_MS = 50;
/** How long a refused connection may take to read why, in milliseconds. */
const REFUSED_MS = 1_000;
/** Connections above the maximum that are refused in words; more are cut without a word. */
const REFUSED_MAX = 100;
/** A port that is free on v4 may be taken on v6: another one is tried, this often. */
const FREE_PORT_TRIES_MAX = 5;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #host: ConnectionHost;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** Sockets above the maximum, while they are told so. */
  readonly #refused = new Set<Socket>();
  /** Sockets whose dialect is not known yet, each with what ends the wait for it. */
  readonly #undecided = new Map<Socket, () => void>();
  readonly #connections = new Set<Connection>();
  /** Connections of each address. */
  readonly #perAddress = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #draining = false;
  #port = 0;

  constructor(options: ListenerOptions, host: ConnectionHost) {
    this.#options = options;
    this.#host = host;
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
    for (let tries = 1; this.#port === 0; tries++) {
      try {
        this.#port = await this.#openAll();
      } catch (thrown) {
        for (const server of this.#servers.splice(0)) server.close();
        const { code } = thrown as EncServerError;
        const again = this.#options.port === 0 && code === 'PORT_TAKEN';
        if (!again || tries >= FREE_PORT_TRIES_MAX) throw thrown;
      }
    }
    // Often enough that the shortest time allowed is not exceeded by much.
    const { receiveTimeoutMs, sendTimeoutMs, idleTimeoutMs } = this.#host.limits;
    const shortestMs = Math.min(receiveTimeoutMs, sendTimeoutMs, idleTimeoutMs);
    const intervalMs = Math.min(CHECK_INTERVAL_MS, Math.max(10, shortestMs / 4));
    this.#timer = setInterval(() => this.#checkTime(), intervalMs);
    this.#timer.unref();
  }

  /**
   * Stops accepting, lets every connection finish what is under way, and resolves when all are
   * closed; what is still open after `timeoutMs` is cut.
   */
  async close(timeoutMs: number): Promise<void> {
    this.#draining = true;
    for (const server of this.#servers) server.close();
    for (const [socket, stop] of this.#undecided) {
      stop();
      this.#sayAndClose(socket, errorLine(closing()));
    }
    for (const connection of this.#connections) connection.drain();
    const deadlineMs = Date.now() + timeoutMs;
    while (this.#sockets.size > 0 && Date.now() < deadlineMs) {
      await sleep(Math.min(DRAIN_CHECK_INTERVAL_MS, Math.max(1, deadlineMs - Date.now())));
      this.#checkTime();
    }
    for (const socket of [...this.#sockets, ...this.#refused]) socket.destroy();
    clearInterval(this.#timer);
    this.#options.tls?.close();
  }

  async #openAll(): Promise<number> {
    const { host, port } = this.#options;
    if (host !== 'localhost') return await this.#open(host, port);
    const opened = await this.#open('127.0.0.1', port);
    await this.#open('::1', opened).catch((error: EncServerError) => {
      // A machine without IPv6 has v4 loopback alone; a port taken on v6 is an error.
      if (error.code === 'PORT_TAKEN') throw error;
    });
    return opened;
  }

  #open(host: string, port: number): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    server.on('connection', (socket) => this.#accept(socket));
    return new Promise((resolve, reject) => {
      server.once('error', (cause) => reject(this.#explain(cause, host, port)));
      server.listen({ host, port }, () => {
        this.#servers.push(server);
        server.on('error', (error) => this.#host.log.error({ err: error }, 'listener failed'));
        resolve((server.address() as { port: number }).port);
      });
    });
  }

  #explain(cause: NodeJS.ErrnoException, host: string, port: number): EncServerError {
    if (cause.code === 'EADDRINUSE') {
      const hint = `choose another port with ${this.#options.portFlag}, or stop what listens there`;
      return new EncServerError('PORT_TAKEN', `port ${port} on ${host} is taken`, { hint, cause });
    }
    const words = `cannot listen on ${host} port ${port}: ${cause.code ?? cause.message}`;
    return new EncServerError('BAD_CONFIG', words, { hint: 'check host and port', cause });
  }

  #accept(socket: Socket): void {
    socket.on('error', (error) => this.#host.log.debug({ err: error }, 'socket failed'));
    const refusal = this.#draining ? closing() : this.#countIn(socket);
    if (refusal !== undefined) {
      this.#refuse(socket, refusal);
      return;
    }
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    this.#watch(socket);
  }

  /** Why one more connection of its address is too many; else it is counted until it closes. */
  #countIn(socket: Socket): EncServerError | undefined {
    const { connectionsMax, connectionsPerAddressMax } = this.#options;
    if (this.#sockets.size >= connectionsMax) {
      return new EncServerError('OVERLOADED', 'too many connections');
    }
    const { address } = peerOf(socket);
    const count = this.#perAddress.get(address) ?? 0;
    if (count >= connectionsPerAddressMax) {
      const hint = 'close some, or use one for several requests';
      return new EncServerError('OVERLOADED', 'too many connections of one address', { hint });
    }
    this.#perAddress.set(address, count + 1);
    socket.on('close', () => {
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    return undefined;
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

  /** The handshake is done: inside, the same begins again, but for TLS in TLS. */
  #secured(socket: TLSSocket): void {
    socket.on('error', (error) => this.#host.log.debug({ err: error }, 'TLS socket failed'));
    // The socket below stays in the set; either one's end is the other's.
    if (this.#draining) this.#sayAndClose(socket, errorLine(closing()));
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
      this.#sayAndClose(socket, refusalIn(opening, error));
    } else if (opening === 'silent') {
      socket.end();
    } else if (opening === 'late') {
      const words = 'the first line did not arrive in time';
      this.#sayAndClose(socket, errorLine(new EncServerError('TIMEOUT', words)));
    } else {
      this.#speak(opening, socket, head, ended);
    }
  }

  #speak(dialect: Dialect, socket: Socket, head: Buffer, ended: boolean): void {
    const speaker = this.#options.dialects[dialect];
    if (speaker === undefined) {
      this.#host.log.debug({ dialect }, 'connection refused');
      this.#sayAndClose(socket, refusalOf(dialect));
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

  /** Too many: says so in the dialect that the first bytes look like. */
  #refuse(socket: Socket, error: EncServerError): void {
    if (this.#refused.size >= REFUSED_MAX) {
      socket.destroy();
      return;
    }
    this.#refused.add(socket);
    socket.on('close', () => this.#refused.delete(socket));
    const say = (head: Buffer) => {
      clearTimeout(timer);
      socket.off('data', say);
      this.#sayAndClose(socket, refusalIn(detect(head, true) ?? 'text', error));
    };
    // Who waits for the server to speak first is a person, or nobody.
    const timer = setTimeout(() => say(Buffer.alloc(0)), REFUSED_MS / 4);
    socket.on('data', say);
    socket.resume();
  }

  /** Input is read and dropped meanwhile: unread, it would reset the connection and the words. */
  #sayAndClose(socket: Socket, words: Buffer): void {
    socket.resume();
    socket.end(words);
    const timer = setTimeout(() => socket.destroy(), REFUSED_MS);
    socket.on('close', () => clearTimeout(timer));
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
    const now = Date.now();
    for (const connection of this.#connections) connection.checkTime(now);
  }
}

function closing(): EncServerError {
  return new EncServerError('GOAWAY', 'the server is closing');
}
