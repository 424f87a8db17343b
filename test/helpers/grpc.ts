/** gRPC as a client speaks it: unary calls of a service in `proto/`, and HTTP/2 by hand. */
import {
  type CallOptions,
  type ChannelOptions,
  Client,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/proto-loader';
import { loadService } from '../../lib/net/grpc-server.ts';

export interface GrpcCallOptions extends CallOptions {
  readonly token?: string;
  /** What is sent beside the request. */
  readonly metadata?: Metadata;
  /** Gets the call, to take it back. */
  readonly started?: (call: ClientUnaryCall) => void;
}

/** What a call failed with. */
export interface GrpcFailure {
  readonly code: number;
  /** The stable code. */
  readonly errorCode: string | undefined;
  readonly details: string;
}

const PACKAGES = {
  'service.BackendService': 'service.proto',
  'encserver.v1.FrontendService': 'encserver/v1/frontend.proto',
  'grpc.health.v1.Health': 'grpc/health/v1/health.proto',
};

export class GrpcClient {
  readonly client: Client;
  readonly definition: ServiceDefinition;

  constructor(
    address: string | number,
    service: keyof typeof PACKAGES,
    creds = credentials.createInsecure(),
    options: ChannelOptions = {},
  ) {
    const target = typeof address === 'number' ? `127.0.0.1:${address}` : address;
    // Otherwise clients of one address share their connection.
    const own = { 'grpc.use_local_subchannel_pool': 1, 'grpc.max_receive_message_length': -1 };
    this.client = new Client(target, creds, { ...own, ...options });
    this.definition = loadService(PACKAGES[service], service);
  }

  // biome-ignore lint/suspicious/noExplicitAny: what proto-loader makes of each message
  call(name: string, request: object, options: GrpcCallOptions = {}): Promise<any> {
    const method = this.definition[name];
    if (method === undefined) throw new Error(`there is no method ${name}`);
    const { token, metadata = new Metadata(), started, ...callOptions } = options;
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    return new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        callOptions,
        (error, reply) => {
          if (error === null) resolve(reply);
          else reject(error);
        },
      );
      started?.(call);
    });
  }

  /** The failure of a call that must fail. */
  async fails(name: string, request: object, options?: GrpcCallOptions): Promise<GrpcFailure> {
    try {
      await this.call(name, request, options);
    } catch (thrown) {
      const { code, details, metadata } = thrown as ServiceError;
      const [errorCode] = metadata.get('enc-error-code');
      return { code, details, errorCode: errorCode?.toString() };
    }
    throw new Error(`${name} did not fail`);
  }

  close(): void {
    this.client.close();
  }
}

export interface HealthWatch {
  /** Each status that was told. */
  readonly seen: string[];
  /** The status with which the watch ended. */
  readonly ended: Promise<number>;
}

export function watchHealth({ client, definition }: GrpcClient, service: string): HealthWatch {
  const method = definition['Watch'];
  if (method === undefined) throw new Error('there is no Watch');
  const seen: string[] = [];
  const { path, requestSerialize, responseDeserialize } = method;
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {
    service,
  });
  call.on('data', (answer: { readonly status: string }) => seen.push(answer.status));
  const ended = new Promise<number>((resolve) => {
    call.on('error', (error: ServiceError) => resolve(error.code));
    call.on('end', () => resolve(0));
  });
  return { seen, ended };
}
