/** Where the connections of a listener come from. */
import { createServer, type Server, type Socket } from 'node:net';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';

/** Ports of this process, or another process that accepts for several. */
export interface Arrivals {
  /** Gives each connection to `take`. Resolves to the port. Rejects with `PORT_TAKEN`, `BAD_CONFIG`. */
  open(take: (socket: Socket) => void): Promise<number>;
  /** No more are given after this. */
  close(): void;
}

export interface PortOptions {
  /** `localhost` is both loopback addresses, v4 and v6. */
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** For the error when the port is taken: the flag that changes it. */
  readonly portFlag: string;
}

/** A port that is free on v4 may be taken on v6; another one is then tried, at most this often. */
const FREE_PORT_TRIES_MAX = 5;

/** A port that this process listens on. What it accepts is not read until somebody asks for it. */
export class OwnPort implements Arrivals {
  readonly #options: PortOptions;
  readonly #log: Logger;
  readonly #servers: Server[] = [];

  constructor(options: PortOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
  }

  async open(take: (socket: Socket) => void): Promise<number> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#openAll(take);
      } catch (thrown) {
        this.close();
        const { code } = thrown as EncServerError;
        const again = this.#options.port === 0 && code === 'PORT_TAKEN';
        if (!again || tries >= FREE_PORT_TRIES_MAX) throw thrown;
      }
    }
  }

  close(): void {
    for (const server of this.#servers.splice(0)) server.close();
  }

  async #openAll(take: (socket: Socket) => void): Promise<number> {
    const { host, port } = this.#options;
    if (host !== 'localhost') return await this.#open(host, port, take);
    const opened = await this.#open('127.0.0.1', port, take);
    await this.#open('::1', opened, take).catch((error: EncServerError) => {
      // A machine without IPv6 has v4 loopback alone; a port taken on v6 is an error.
      if (error.code === 'PORT_TAKEN') throw error;
    });
    return opened;
  }

  #open(host: string, port: number, take: (socket: Socket) => void): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    server.on('connection', take);
    return new Promise((resolve, reject) => {
      server.once('error', (cause) => reject(this.#explain(cause, host, port)));
      server.listen({ host, port }, () => {
        this.#servers.push(server);
        server.on('error', (error) => this.#log.error({ err: error }, 'listener failed'));
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
}
