/**
 * The family's other programs, as small as they can be and with the habits that matter:
 * `docs/INTEROP.md` has them one by one. Their bytes were taken from the real ones.
 */
import { once } from 'node:events';
import {
  type AddressInfo,
  connect,
  createServer,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { loadService } from '../../lib/net/grpc-server.ts';

/** One line on a connection of its own, up to the line feed: Go v1's clients and front end. */
export async function askAsGoV1(port: number, line: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.write(`${line}\n`);
  let reply = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    reply += chunk.toString('latin1');
    if (reply.includes('\n')) break;
  }
  return reply.replace(/\n+$/, '');
}

/** One line, then one `recv` of 1,024 bytes, whatever it brings: Python's. */
export async function askAsPython(port: number, line: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.write(`${line}\n`);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return chunk.subarray(0, 1024).toString('utf8').trim();
}

/** A back end of the family, with what it keeps. */
export interface FamilyBe {
  readonly port: number;
  readonly records: Map<string, string>;
  /** Why it ended by itself, if it did. */
  readonly broken: () => string | undefined;
  close(): Promise<void>;
}

/** What makes one text back end another than the next. */
interface TextHabits {
  /** The first request in what was received at once; the rest is dropped, or taken for its end. */
  readonly messageOf: (received: Buffer) => string;
  readonly deleted: string;
  readonly notThere: string;
}

const GO_V1: TextHabits = {
  messageOf: (received) => received.toString('latin1').split('\n', 1)[0] ?? '',
  deleted: '',
  notThere: 'ERROR mongo: no documents in result',
};

const PYTHON: TextHabits = {
  messageOf: (received) => received.subarray(0, 1024).toString('utf8').trim(),
  deleted: 'SUCCESS',
  notThere: "ERROR: 'NoneType' object is not subscriptable",
};

/** It answers when `ready` resolves. */
type Start = (port?: number, ready?: () => Promise<void>) => Promise<FamilyBe>;

export const startGoV1Be: Start = (port = 0, ready) => startTextBe(GO_V1, port, ready);
export const startPythonBe: Start = (port = 0, ready) => startTextBe(PYTHON, port, ready);

/** Serves one connection at a time, and ends as a whole when one is reset or takes no answer. */
async function startTextBe(
  habits: TextHabits,
  port: number,
  ready: () => Promise<void> = async () => undefined,
): Promise<FamilyBe> {
  const records = new Map<string, string>();
  const waiting: Socket[] = [];
  let serving: Socket | undefined;
  let broken: string | undefined;
  const serve = (socket: Socket) => {
    serving = socket;
    let line = Buffer.alloc(0);
    socket.on('error', (error) => {
      broken = error.message;
      server.close();
    });
    socket.on('data', async (chunk) => {
      // Go waits for the line feed; Python takes what came.
      line = Buffer.concat([line, chunk]);
      if (habits === GO_V1 && !line.includes(0x0a)) return;
      const reply = replyTo(habits.messageOf(line), records, habits);
      line = Buffer.alloc(0);
      await ready();
      socket.write(`${reply}\n`);
    });
    socket.on('close', () => {
      serving = undefined;
      const next = waiting.shift();
      if (next !== undefined) serve(next);
    });
    socket.resume();
  };
  const server: NetServer = createServer({ pauseOnConnect: true }, (socket) => {
    if (serving === undefined) serve(socket);
    else waiting.push(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    records,
    broken: () => broken,
    close: async () => {
      server.close();
      for (const socket of [serving, ...waiting]) socket?.destroy();
    },
  };
}

function replyTo(message: string, records: Map<string, string>, habits: TextHabits): string {
  const [verb, id = '', record, ...more] = message.trim().split(' ');
  if (verb === 'STORE' && record !== undefined && more.length === 0) {
    records.set(id, record);
    return 'SUCCESS';
  }
  if (verb === 'RETRIEVE' && record === undefined) return records.get(id) ?? habits.notThere;
  if (verb === 'DELETE' && record === undefined) {
    records.delete(id);
    return habits.deleted;
  }
  return 'ERROR Malformed request';
}

/** Go v2: gRPC; an error of its database is an error of no kind. */
export async function startGoV2Be(): Promise<FamilyBe> {
  const records = new Map<string, string>();
  const server = new Server();
  type Call = { readonly request: { readonly id: string; readonly data: string } };
  type Done = (error: object | null, reply?: object) => void;
  server.addService(loadService('service.proto', 'service.BackendService'), {
    StoreRecord: ({ request }: Call, done: Done) => {
      records.set(request.id, request.data);
      done(null, {});
    },
    RetrieveRecord: ({ request }: Call, done: Done) => {
      const data = records.get(request.id);
      if (data !== undefined) done(null, { data });
      else done({ code: status.UNKNOWN, details: 'mongo: no documents in result' });
    },
    DeleteRecord: ({ request }: Call, done: Done) => {
      records.delete(request.id);
      done(null, {});
    },
  });
  const credentials = ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    port,
    records,
    broken: () => undefined,
    close: async () => server.forceShutdown(),
  };
}
