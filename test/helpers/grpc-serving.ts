/** A gRPC server with methods of the test's own, behind a door, given sockets as they come. */
import { createServer, type Socket } from 'node:net';
import { OPEN_GATE } from '../../lib/access.ts';
import { silentLog } from '../../lib/log.ts';
import { Budget } from '../../lib/net/budget.ts';
import type { ConnectionHost } from '../../lib/net/connection.ts';
import { GrpcDoor } from '../../lib/net/grpc-door.ts';
import type { GrpcMethod } from '../../lib/net/grpc-server.ts';
import { watchOpening } from '../../lib/net/opening.ts';
import { Traffic } from '../../lib/net/traffic.ts';
import { DEFAULT_LIMITS, type Limits } from '../../lib/protocol/limits.ts';

export interface GrpcServing {
  readonly port: number;
  readonly host: ConnectionHost;
  readonly door: GrpcDoor;
  /** Connections that are open. */
  readonly sockets: ReadonlySet<Socket>;
  close(): void;
}

/** Serves `service.BackendService` with what `store` does. */
export async function startGrpc(
  store: GrpcMethod['handle'],
  limits: Partial<Limits> = {},
  isReady: () => Promise<boolean> = async () => true,
): Promise<GrpcServing> {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const host: ConnectionHost = {
    limits: all,
    budget: new Budget(all.bytesInFlightMax),
    traffic: new Traffic(all.requestsMax),
    log: silentLog,
    gate: OPEN_GATE,
  };
  const door = new GrpcDoor(async (given) => {
    const { openGrpcServer } = await import('../../lib/net/grpc-server.ts');
    return openGrpcServer(given, {
      proto: 'service.proto',
      service: 'service.BackendService',
      methods: { StoreRecord: { operation: 'store', handle: store } },
      isReady,
    });
  }, host);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    watchOpening(socket, all.firstByteTimeoutMs, (_opening, head, ended) => {
      door.take(socket, head, ended);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    host,
    door,
    sockets,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      door.close();
    },
  };
}
