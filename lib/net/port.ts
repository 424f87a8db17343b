/** One server's port: its limits, its byte budget, its listener, and the facts it tells. */
import type { Gate } from '../access.ts';
import { limitsOf } from '../config/limits.ts';
import type { ServerSection } from '../config/load.ts';
import type { Logger } from '../log.ts';
import type { Limits } from '../protocol/limits.ts';
import { VERSION } from '../version.ts';
import { Budget } from './budget.ts';
import { FrameConnection, type FrameSurface } from './frame-connection.ts';
import { checkHost } from './host-policy.ts';
import { HttpDoor, type LoadHttp } from './http-door.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import type { RequestContext } from './request.ts';
import { TextConnection, type TextSurface } from './text-connection.ts';

/** A server that accepts connections. */
export interface RunningServer {
  readonly port: number;
  /** One line for people: where it listens, and on what. */
  readonly line: string;
  /** Answers what is under way, then closes everything in order. */
  close(): Promise<void>;
}

/** What a port offers: a surface for each connection, made when it begins. */
export interface Surfaces {
  readonly frames: () => FrameSurface;
  readonly text: () => TextSurface;
  /** Loaded at the first HTTP connection. */
  readonly http?: LoadHttp;
}

export class Port {
  readonly limits: Limits;
  readonly budget: Budget;
  readonly #section: ServerSection;
  readonly #listener: Listener;
  readonly #http: HttpDoor | undefined;
  readonly #startedAtMs = Date.now();

  /**
   * `portFlag` is what a person changes when the port is taken. The surfaces are asked for once
   * connections come. Throws `NOT_ALLOWED` for a host beyond loopback.
   */
  constructor(
    section: ServerSection,
    portFlag: string,
    { log, gate }: { readonly log: Logger; readonly gate: Gate },
    surfaces: Surfaces,
  ) {
    checkHost(section);
    this.#section = section;
    this.limits = limitsOf(section);
    this.budget = new Budget(this.limits.bytesInFlightMax);
    const host = { limits: this.limits, budget: this.budget, log, gate };
    const { connectionsMax, port } = section;
    this.#http = surfaces.http && new HttpDoor(surfaces.http, this.limits, log);
    const dialects: ListenerOptions['dialects'] = {
      frames: (socket) => new FrameConnection(socket, host, surfaces.frames()),
      text: (socket) => new TextConnection(socket, host, surfaces.text()),
      ...(this.#http && { http: this.#http.take }),
    };
    const options = { host: section.host, port, portFlag, connectionsMax, dialects };
    this.#listener = new Listener(options, host);
  }

  get port(): number {
    return this.#listener.port;
  }

  /** `host:port` for people. */
  get address(): string {
    const shown = this.#section.host === 'localhost' ? '127.0.0.1' : this.#section.host;
    return shown.includes(':') ? `[${shown}]:${this.port}` : `${shown}:${this.port}`;
  }

  /** What INFO says of any server; of the bytes in flight, its own request is left out. */
  facts(context: RequestContext): Record<string, unknown> {
    return {
      version: VERSION,
      pid: process.pid,
      uptimeMs: Date.now() - this.#startedAtMs,
      connections: this.#listener.connectionCount,
      bytesInFlight: this.budget.inUseBytes - context.heldBytes,
    };
  }

  /** Rejects with `PORT_TAKEN` or `BAD_CONFIG`. */
  async listen(): Promise<void> {
    await this.#listener.listen();
  }

  async close(): Promise<void> {
    this.#http?.drain();
    await this.#listener.close(this.#section.drainTimeoutMs);
    await this.#http?.close();
  }
}
