/** One server's port: its limits, its byte budget, its listener, and the facts it reports. */
import type { Gate } from '../access.ts';
import { limitsOf } from '../config/limits.ts';
import type { ServerSection } from '../config/load.ts';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { type Family, single } from '../metrics.ts';
import type { Limits } from '../protocol/limits.ts';
import { VERSION } from '../version.ts';
import type { Arrivals } from './arrivals.ts';
import { type Budget, budgetOf } from './budget.ts';
import { FrameConnection, type FrameSurface } from './frame-connection.ts';
import { GrpcDoor, type LoadGrpc } from './grpc-door.ts';
import { checkListening } from './host-policy.ts';
import { HttpDoor, type LoadHttp } from './http-door.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import type { RequestContext } from './request.ts';
import { TextConnection, type TextSurface } from './text-connection.ts';
import type { TlsDoor } from './tls-door.ts';
import { Traffic } from './traffic.ts';

/** A server that accepts connections. */
export interface RunningServer {
  readonly port: number;
  /** One line for people: where it listens, and on what. */
  readonly line: string;
  /** Another line for people, which comes later or never. */
  readonly later?: Promise<string> | undefined;
  /** Lets requests under way be answered, then closes everything in order. */
  close(): Promise<void>;
}

/** What a port offers: a surface for each connection, made when it begins. */
export interface Surfaces {
  readonly frames: () => FrameSurface;
  readonly text: () => TextSurface;
  /** Loaded at the first HTTP connection. */
  readonly http?: LoadHttp;
  /** Loaded at the first HTTP/2 connection. */
  readonly grpc?: LoadGrpc;
}

/** What protects the surfaces. */
export interface PortGuards {
  readonly log: Logger;
  readonly gate: Gate;
  /** From {@link openTls}. */
  readonly tls: TlsDoor | undefined;
  /** Set if this is one of several processes on the port. */
  readonly share?: PortShare | undefined;
}

/** One process's part in a port that several serve. */
export interface PortShare {
  /** From 1. */
  readonly worker: number;
  readonly workers: number;
  readonly arrivals: Arrivals;
}

/**
 * The TLS of a server whose settings name a certificate. Rejects with `BAD_CONFIG`, `FILE_ERROR`.
 */
export async function openTls(section: ServerSection, log: Logger): Promise<TlsDoor | undefined> {
  const { tlsCert, tlsKey, tlsClientCa, tlsMinVersion, handshakesMax } = section;
  if (tlsCert === '' && tlsKey === '' && tlsClientCa === '') return undefined;
  if (tlsCert === '' || tlsKey === '') {
    throw new EncServerError('BAD_CONFIG', 'TLS takes both tlsCert and tlsKey');
  }
  const files = { tlsCert, tlsKey, tlsClientCa };
  const bounds = { handshakesMax, handshakeTimeoutMs: section.firstByteTimeoutMs };
  // Most servers on loopback do without TLS.
  const { TlsDoor } = await import('./tls-door.ts');
  return await TlsDoor.open({ ...files, tlsMinVersion, ...bounds }, log);
}

export class Port {
  readonly limits: Limits;
  readonly budget: Budget;
  readonly traffic: Traffic;
  readonly log: Logger;
  readonly #section: ServerSection;
  readonly #share: PortShare | undefined;
  readonly #listener: Listener;
  readonly #http: HttpDoor | undefined;
  readonly #grpc: GrpcDoor | undefined;
  readonly #startedAtMs = performance.now();

  /**
   * `portFlag` names the flag to change when the port is taken. The surfaces are asked for once
   * connections come. Throws `NOT_ALLOWED` for a host beyond loopback.
   */
  constructor(
    section: ServerSection,
    portFlag: string,
    { log, gate, tls, share }: PortGuards,
    surfaces: Surfaces,
  ) {
    checkListening(section);
    this.#section = section;
    this.#share = share;
    this.limits = limitsOf(section);
    this.budget = budgetOf(this.limits.bytesInFlightMax);
    this.traffic = new Traffic(this.limits.requestsMax);
    this.log = log;
    const { limits, budget, traffic } = this;
    const host = { limits, budget, traffic, log, gate };
    const { connectionsMax, connectionsPerAddressMax, allowPlaintext, port } = section;
    this.#http = surfaces.http && new HttpDoor(surfaces.http, this.limits, log);
    this.#grpc = surfaces.grpc && new GrpcDoor(surfaces.grpc, host);
    const dialects: ListenerOptions['dialects'] = {
      frames: { connect: (socket) => new FrameConnection(socket, host, surfaces.frames()) },
      text: { connect: (socket) => new TextConnection(socket, host, surfaces.text()) },
      ...(this.#http && { http: this.#http }),
      ...(this.#grpc && { http2: this.#grpc }),
    };
    const bounds = { connectionsMax, connectionsPerAddressMax, allowPlaintext };
    const options = { host: section.host, port, portFlag, ...bounds, dialects, tls };
    const arrivals = share?.arrivals;
    this.#listener = new Listener({ ...options, arrivals }, host);
  }

  get port(): number {
    return this.#listener.port;
  }

  /** `host:port` for people. */
  get address(): string {
    const shown = this.#section.host === 'localhost' ? '127.0.0.1' : this.#section.host;
    return shown.includes(':') ? `[${shown}]:${this.port}` : `${shown}:${this.port}`;
  }

  /** What INFO says of any server; its own request is left out of those under way. */
  facts(context: RequestContext): Record<string, unknown> {
    const { worker, workers } = this.#share ?? {};
    return {
      version: VERSION,
      pid: process.pid,
      ...(worker !== undefined && { worker, workers }),
      uptimeMs: Math.round(performance.now() - this.#startedAtMs),
      connections: this.#listener.connectionCount,
      bytesInFlight: this.budget.inUseBytes - (context.room?.bytes ?? 0),
      requestsUnderWay: this.traffic.underWay - 1,
      requests: this.traffic.total,
    };
  }

  /** The metrics that every server has. */
  families(): Family[] {
    return [
      ...this.traffic.families(),
      single(
        'gauge',
        'enc_server_connections',
        'Open connections.',
        this.#listener.connectionCount,
      ),
      single(
        'gauge',
        'enc_server_in_flight_bytes',
        'Bytes of requests and replies that are held.',
        this.budget.inUseBytes,
      ),
      single(
        'gauge',
        'enc_server_in_flight_bytes_max',
        'How many of them are held at the most.',
        this.limits.bytesInFlightMax,
      ),
    ];
  }

  /** Rejects with `PORT_TAKEN` or `BAD_CONFIG`. */
  async listen(): Promise<void> {
    await this.#listener.listen();
  }

  async close(): Promise<void> {
    this.#http?.drain();
    this.#grpc?.drain();
    await this.#listener.close(this.#section.drainTimeoutMs);
    await this.#http?.close();
    this.#grpc?.close();
  }
}
