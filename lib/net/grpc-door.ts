/**
 * How a connection that turned out to speak HTTP/2 reaches the gRPC server, which is loaded at the
 * first such connection and never listens itself.
 */
import type { Socket } from 'node:net';
import { EncServerError } from '../errors.ts';
import type { ConnectionHost } from './connection.ts';
import type { DialectHandler } from './listener.ts';
import { closing, refusalIn } from './refusals.ts';
import { sayAndClose } from './refuser.ts';

/** A gRPC server that is given its connections. */
export interface GrpcSurface {
  /** Takes a connection over; any wrapping, such as TLS, is off by then. */
  inject(socket: Socket): void;
  /** Lets calls under way be answered, then closes each connection. */
  drain(): void;
  /** Frees what the server holds; its connections are gone by then. */
  close(): void;
}

export type LoadGrpc = (host: ConnectionHost) => Promise<GrpcSurface>;

export class GrpcDoor {
  readonly #load: LoadGrpc;
  readonly #host: ConnectionHost;
  #loading: Promise<GrpcSurface> | undefined;
  #surface: GrpcSurface | undefined;
  #draining = false;

  constructor(load: LoadGrpc, host: ConnectionHost) {
    this.#load = load;
    this.#host = host;
  }

  /** Takes a connection over from the listener. */
  readonly take: DialectHandler = (socket, head, ended) => {
    // The input ended before a single call: nobody waits for an answer.
    if (ended) {
      socket.destroy();
      return;
    }
    socket.unshift(head);
    if (this.#surface !== undefined) {
      this.#give(this.#surface, socket);
      return;
    }
    this.#open().then(
      (surface) => this.#give(surface, socket),
      (error) => {
        const words = 'the gRPC server could not be loaded';
        this.#host.log.error({ err: error }, words);
        sayAndClose(socket, refusalIn('http2', new EncServerError('UNAVAILABLE', words)));
      },
    );
  };

  drain(): void {
    this.#draining = true;
    this.#surface?.drain();
  }

  close(): void {
    this.#surface?.close();
  }

  /** Two connections may come before the server is there, but it is loaded only once. */
  #open(): Promise<GrpcSurface> {
    this.#loading ??= this.#load(this.#host).then((surface) => {
      this.#surface = surface;
      if (this.#draining) surface.drain();
      return surface;
    });
    this.#loading.catch(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  #give(surface: GrpcSurface, socket: Socket): void {
    if (socket.destroyed) return;
    if (this.#draining) sayAndClose(socket, refusalIn('http2', closing()));
    else surface.inject(socket);
  }
}
