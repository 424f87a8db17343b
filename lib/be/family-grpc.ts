/** The gRPC of the Go family's newer back end (v2): `service.BackendService`, as in `proto/`. */
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/proto-loader';
import { EncServerError } from '../errors.ts';
import { loadService } from '../net/grpc-server.ts';
import type { Address } from '../net/lane.ts';
import type { FamilyLink } from './family-back-end.ts';

/** The limit of grpc-go by default. A message has two digits for each byte, and some overhead. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const MESSAGE_OVERHEAD_BYTES = 1024;
/** Its answer for an unknown token: an error of its database, without a specific code. */
const NOT_THERE = 'mongo: no documents in result';

interface RetrieveReply {
  readonly data: string;
}

export class FamilyGrpc implements FamilyLink {
  readonly valueBytesMax = (MESSAGE_BYTES_MAX - MESSAGE_OVERHEAD_BYTES) / 2;
  readonly #client: Client;
  readonly #service: ServiceDefinition;

  constructor({ host, port }: Address) {
    const target = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    this.#client = new Client(target, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      // Otherwise a back end that was away for long would not be retried for just as long.
      'grpc.max_reconnect_backoff_ms': 1_000,
    });
    this.#service = loadService('service.proto', 'service.BackendService');
  }

  async store(id: string, data: string, timeoutMs: number): Promise<void> {
    await this.#call('StoreRecord', { id, data }, true, timeoutMs);
  }

  async retrieve(id: string, timeoutMs: number): Promise<string | undefined> {
    const reply = await this.#call<RetrieveReply>('RetrieveRecord', { id }, false, timeoutMs);
    return reply?.data;
  }

  async delete(id: string, timeoutMs: number): Promise<void> {
    await this.#call('DeleteRecord', { id }, true, timeoutMs);
  }

  probe(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => {
        if (error === undefined) resolve();
        else reject(new EncServerError('UNAVAILABLE', 'the back end does not answer'));
      });
    });
  }

  close(): void {
    this.#client.close();
  }

  /** Undefined if there is nothing. */
  #call<T>(
    name: string,
    request: object,
    writes: boolean,
    timeoutMs: number,
  ): Promise<T | undefined> {
    const method = this.#service[name];
    if (method === undefined) throw new EncServerError('INTERNAL', `there is no method ${name}`);
    const { path, requestSerialize, responseDeserialize } = method;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize as (bytes: Buffer) => T,
        request,
        { deadline: Date.now() + timeoutMs },
        (error, reply) => {
          if (error === null) resolve(reply);
          else if (isNotThere(error)) resolve(undefined);
          else reject(errorOf(error, writes));
        },
      );
    });
  }
}

function isNotThere({ code, details }: ServiceError): boolean {
  return code === status.NOT_FOUND || (code === status.UNKNOWN && details === NOT_THERE);
}

/** Statuses that gRPC's client makes itself; its words are about its insides. */
const OWN_WORDS: ReadonlyMap<status, string> = new Map([
  [status.CANCELLED, 'the call was cut off'],
  [status.DEADLINE_EXCEEDED, 'no answer in time'],
  [status.INTERNAL, 'the answer was cut off'],
  [status.UNAVAILABLE, 'it cannot be reached'],
]);

function errorOf({ code, details }: ServiceError, writes: boolean): EncServerError {
  const own = OWN_WORDS.get(code);
  const words = own ? `the back end: ${own}` : `the back end says: ${details.slice(0, 200)}`;
  if (code === status.RESOURCE_EXHAUSTED) return new EncServerError('RECORD_TOO_LARGE', words);
  // A call that found no connection was not sent.
  const isUnsent = code === status.UNAVAILABLE && details.startsWith('No connection established');
  return new EncServerError(writes && !isUnsent ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE', words);
}
