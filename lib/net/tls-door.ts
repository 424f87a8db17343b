/**
 * How a connection that began with a TLS handshake becomes an ordinary one. Node's server does the
 * handshakes and never listens itself: it is given sockets that the listener took.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { TransientSet } from '../transient.ts';
import { lookAtFiles, readServerFiles, type TlsServerFiles } from './tls-files.ts';

export interface TlsOptions extends TlsServerFiles {
  readonly tlsMinVersion: '1.3' | '1.2';
  /** Handshakes under way at once; for one more, the oldest is cut. */
  readonly handshakesMax: number;
  /** Time for a handshake, in milliseconds. */
  readonly handshakeTimeoutMs: number;
}

/** Takes over a connection whose handshake is done. */
export type Secured = (socket: TLSSocket) => void;

/** How often renewed files are looked for, in milliseconds. */
const RELOAD_MS = 1_000;

export class TlsDoor {
  readonly #options: TlsOptions;
  readonly #log: Logger;
  readonly #server: Server;
  readonly #timer: NodeJS.Timeout;
  /** The state of the files when they were last read. */
  #seen: string;
  /** Their state when they could not be used. */
  #unusable: string | undefined;
  /** Sockets whose handshake is not done, oldest first. */
  readonly #underWay = new TransientSet<Socket>();
  /** Takes connections over; set by the listener. */
  secured: Secured = (socket) => socket.destroy();

  private constructor(options: TlsOptions, log: Logger, server: Server, seen: string) {
    this.#options = options;
    this.#log = log;
    this.#server = server;
    this.#seen = seen;
    server.on('secureConnection', (socket) => this.#accept(socket));
    server.on('tlsClientError', (error, socket) => {
      log.debug({ err: error }, 'a TLS handshake failed');
      socket.destroy();
    });
    this.#timer = setInterval(() => void this.reload(), RELOAD_MS);
    this.#timer.unref();
  }

  /** Rejects with `FILE_ERROR`, or `BAD_CONFIG` for certificates that cannot be used. */
  static async open(options: TlsOptions, log: Logger): Promise<TlsDoor> {
    const seen = await lookAtFiles(options);
    const files = await readServerFiles(options);
    try {
      const server = createServer({
        ...files,
        minVersion: `TLSv${options.tlsMinVersion}`,
        ALPNProtocols: ['http/1.1', 'h2'],
        allowHalfOpen: true,
        handshakeTimeout: options.handshakeTimeoutMs,
        // A client without a certificate may have a token; an invalid certificate is refused on a
        // request.
        requestCert: options.tlsClientCa !== '',
        rejectUnauthorized: false,
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      });
      return new TlsDoor(options, log, server, seen);
    } catch (cause) {
      throw unusable(options, cause);
    }
  }

  /** Takes a connection over whose first bytes are `head`. */
  take(socket: Socket, head: Buffer): void {
    // An honest handshake takes milliseconds: the oldest one is most likely abandoned.
    const [oldest] = this.#underWay;
    if (oldest !== undefined && this.#underWay.size >= this.#options.handshakesMax) {
      this.#underWay.delete(oldest);
      oldest.destroy();
    }
    this.#underWay.add(socket);
    socket.once('close', () => this.#underWay.delete(socket));
    socket.unshift(head);
    this.#server.emit('connection', socket);
  }

  /** Reads the files again if they have changed; keeps what was there if they cannot be used. */
  async reload(): Promise<void> {
    let seen = 'not there';
    try {
      seen = await lookAtFiles(this.#options);
      if (seen === this.#seen) {
        this.#unusable = undefined;
        return;
      }
      this.#server.setSecureContext({
        ...(await readServerFiles(this.#options)),
        minVersion: `TLSv${this.#options.tlsMinVersion}`,
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      });
      this.#seen = seen;
      this.#unusable = undefined;
      this.#log.info('TLS certificates reloaded');
    } catch (err) {
      // Logged once although the files are read again: their permissions may be the only fault.
      if (this.#unusable === seen) return;
      this.#unusable = seen;
      this.#log.warn({ err }, 'TLS certificates cannot be reloaded; those from before go on');
    }
  }

  /** Cuts handshakes that are under way: nothing was asked on them. */
  drain(): void {
    for (const socket of this.#underWay) socket.destroy();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #accept(socket: TLSSocket): void {
    // The underlying socket, which the listener gave; Node has no public name for it.
    const below = (socket as TLSSocket & { _parent?: Socket })._parent;
    if (below !== undefined) this.#underWay.delete(below);
    this.secured(socket);
  }
}

function unusable({ tlsCert, tlsKey }: TlsServerFiles, cause: unknown): EncServerError {
  const hint = 'both are PEM, and the key is the one of the certificate';
  return new EncServerError('BAD_CONFIG', `${tlsCert} and ${tlsKey} cannot be used`, {
    hint,
    cause,
  });
}
