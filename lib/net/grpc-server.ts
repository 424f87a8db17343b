/**
 * The gRPC server of a port (grpc-js), given its connections by the door. Every call goes through a
 * {@link GrpcCall}, which identifies its caller and holds room for it, before its handler sees it.
 */
import { constants, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  Server,
  ServerCredentials,
  type ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { TransientMap, TransientSet } from '../transient.ts';
import type { ConnectionHost } from './connection.ts';
import { GrpcCall, type GrpcConnection, type GrpcMethodFacts } from './grpc-call.ts';
import type { GrpcSurface } from './grpc-door.ts';
import { GrpcHealth } from './grpc-health.ts';
import { readingStrictly } from './grpc-requests.ts';
import { boundTimeout } from './grpc-timeout.ts';
import { peerOf } from './peer.ts';
import type { RequestContext } from './request.ts';
import { Slots } from './slots.ts';
import type { Operation } from './traffic.ts';

/** One method of a service. */
export interface GrpcMethod {
  readonly operation: Operation;
  /** Rejects with {@link EncServerError}; anything else is answered as `INTERNAL`. */
  // biome-ignore lint/suspicious/noExplicitAny: what proto-loader makes of each message
  readonly handle: (request: any, context: RequestContext) => Promise<object>;
}

export interface GrpcOptions {
  /** File below `proto/`. */
  readonly proto: string;
  /** Name with its package. */
  readonly service: string;
  /** By the names in the file. */
  readonly methods: Readonly<Record<string, GrpcMethod>>;
  readonly isReady: () => Promise<boolean>;
}

/** The part of the byte budget that the messages one connection is sending may hold. */
const BUDGET_SHARE = 1 / 4;
/** A name of a service, as a probe sends it, is shorter. In bytes. */
const PROBE_BYTES_MAX = 4096;
const TIMEOUT_HEADER = 'grpc-timeout';
const HEALTH_PROTO = 'grpc/health/v1/health.proto';
const HEALTH: GrpcMethodFacts = { operation: 'other', isProbe: true };

/** A service as it stands in a file below `proto/`. */
export function loadService(proto: string, name: string): ServiceDefinition {
  const folder = fileURLToPath(new URL('../../../proto', import.meta.url));
  const loaded = loadSync(proto, { includeDirs: [folder], defaults: true, enums: String });
  return loaded[name] as ServiceDefinition;
}

/** The server behind the door of a port. */
export function openGrpcServer(host: ConnectionHost, options: GrpcOptions): GrpcSurface {
  const definition = loadService(options.proto, options.service);
  const health = new GrpcHealth([options.service], options.isReady);
  const facts = methodFacts(definition, options.methods);
  const connections = new Connections(host, facts);
  const { limits } = host;
  const server = new Server({
    'grpc.max_receive_message_length': limits.frameBytesMax,
    // Whatever was stored may be read, however large that makes the message.
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': limits.requestsPerConnectionMax,
    'grpc.max_connection_idle_ms': limits.idleTimeoutMs,
    // It would keep every call in memory for a service that is not offered.
    'grpc.enable_channelz': 0,
    interceptors: [(method, call) => connections.intercept(method.path, call)],
  });
  const healthDefinition = loadService(HEALTH_PROTO, 'grpc.health.v1.Health');
  server.addService(readingStrictly(healthDefinition), health.implementation);
  server.addService(readingStrictly(definition), implement(options.methods));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  boundStreams(server, facts);
  return {
    inject(socket) {
      connections.add(socket);
      injector.injectConnection(socket);
    },
    drain() {
      // Tells every client to go elsewhere, and closes each connection after its last call.
      injector.drain(limits.requestTimeoutMs);
      connections.drain();
    },
    close() {
      health.close();
      server.forceShutdown();
    },
  };
}

/**
 * grpc-js computes a deadline in 32 bits, so that a far one comes out as one that is over; and it
 * bounds all messages alike, while no room is held for those of probes. Nothing of its own lets us
 * at either before; its HTTP/2 server does.
 */
function boundStreams(server: Server, facts: ReadonlyMap<string, GrpcMethodFacts>): void {
  const servers: ReadonlyMap<Http2Server, unknown> = server['http2Servers'];
  for (const http2 of servers.keys()) {
    http2.prependListener('stream', (stream, headers) => {
      const timeout = headers[TIMEOUT_HEADER];
      if (typeof timeout === 'string') headers[TIMEOUT_HEADER] = boundTimeout(timeout);
      if (!facts.has(String(headers[':path']))) boundMessage(stream);
    });
  }
}

function boundMessage(stream: ServerHttp2Stream): void {
  let bytes = 0;
  // It flows once grpc-js asks for it.
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > PROBE_BYTES_MAX) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });
}

function methodFacts(
  definition: ServiceDefinition,
  methods: GrpcOptions['methods'],
): ReadonlyMap<string, GrpcMethodFacts> {
  return new Map(
    Object.entries(methods).map(([name, { operation }]) => {
      const path = definition[name]?.path ?? '';
      return [path, { operation, isProbe: false }];
    }),
  );
}

function implement(methods: GrpcOptions['methods']): UntypedServiceImplementation {
  const handlers = Object.entries(methods).map(([name, { handle }]) => {
    const handler = (call: ServerUnaryCall<unknown, object>, answer: sendUnaryData<object>) => {
      GrpcCall.of(call.metadata)
        .serve((context) => handle(call.request, context))
        .then((reply) => answer(null, reply), answer);
    };
    return [name, handler] as const;
  });
  return Object.fromEntries(handlers);
}

/** The facts of a connection that no two open ones share. */
type Ends = ReturnType<ServerInterceptingCallInterface['getConnectionInfo']>;

class Connections {
  readonly #host: ConnectionHost;
  readonly #facts: ReadonlyMap<string, GrpcMethodFacts>;
  /** By {@link keyOf}: grpc-js tells a call nothing else about its connection. */
  readonly #open = new TransientMap<string, GrpcConnection>();

  constructor(host: ConnectionHost, facts: ReadonlyMap<string, GrpcMethodFacts>) {
    this.#host = host;
    this.#facts = facts;
  }

  add(socket: Socket): void {
    const { bytesInFlightMax, frameBytesMax } = this.#host.limits;
    const share = Math.floor((bytesInFlightMax * BUDGET_SHARE) / frameBytesMax);
    const key = keyOf(socket as Ends);
    const connection: GrpcConnection = {
      peer: peerOf(socket),
      receiving: new Slots(Math.max(1, share)),
      underWay: new TransientSet(),
      sentBytes: () => socket.bytesWritten,
      cut: () => socket.destroy(),
    };
    this.#open.set(key, connection);
    // No HTTP/2 client closes only one half. Node would wait for calls that nobody can finish.
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      this.#open.delete(key);
      for (const call of connection.underWay) call.end();
    });
  }

  intercept(path: string, call: ServerInterceptingCallInterface): ServerInterceptingCall {
    const connection = this.#open.get(keyOf(call.getConnectionInfo())) ?? GONE;
    return new GrpcCall(this.#host, connection, this.#facts.get(path) ?? HEALTH, call).intercept();
  }

  /** Ends the calls that would otherwise go on by themselves. */
  drain(): void {
    for (const { underWay } of this.#open.values()) {
      for (const call of underWay) call.leave();
    }
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Ends): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/** Stands in for a connection that is already closed: grpc-js cancels its calls by itself. */
const GONE: GrpcConnection = {
  peer: { address: '', secure: false, certificateNames: [], certificateError: undefined },
  receiving: new Slots(1),
  underWay: new TransientSet(),
  sentBytes: () => 0,
  cut: () => undefined,
};
