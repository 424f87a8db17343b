/** Serves gRPC from the front end's service. `docs/PROTOCOL.md`, "gRPC". */
import type { RecordName } from '../../crypto/envelope.ts';
import { EncServerError } from '../../errors.ts';
import type { ConnectionHost } from '../../net/connection.ts';
import type { GrpcSurface } from '../../net/grpc-door.ts';
import { openGrpcServer } from '../../net/grpc-server.ts';
import type { RequestContext } from '../../net/request.ts';
import { KEY_BYTES } from '../../protocol/limits.ts';
import type { FrontEndState } from '../readiness.ts';
import { namespaceFor } from '../reserved.ts';
import type { FeService } from '../service.ts';

export interface FeGrpcHost extends ConnectionHost {
  readonly service: FeService;
  /** What the server waits for. */
  readonly state: () => Promise<FrontEndState>;
}

interface NamedRequest {
  readonly id: Buffer;
  readonly namespace?: Buffer;
}

interface StoreRequest extends NamedRequest {
  readonly record: Buffer;
  readonly key?: Buffer;
  readonly oldKey?: Buffer;
}

interface RetrieveRequest extends NamedRequest {
  readonly key: Buffer;
}

interface DeleteRequest extends NamedRequest {
  readonly key?: Buffer;
}

/** The server behind the door of a front end's port. */
export function openFeGrpc(host: FeGrpcHost): GrpcSurface {
  const { service, state } = host;
  return openGrpcServer(host, {
    proto: 'encserver/v1/frontend.proto',
    service: 'encserver.v1.FrontendService',
    isReady: async () => (await state()).missing.length === 0,
    methods: {
      Store: {
        operation: 'store',
        async handle(request: StoreRequest, context: RequestContext) {
          const { record } = request;
          const key = keyOf(request.key);
          const oldKey = keyOf(request.oldKey);
          const input = { name: nameOf(request, context), record, key, oldKey };
          const { drawnKey, revision, replaced } = await service.store(input, context);
          return { ...(drawnKey && { key: drawnKey }), revision, replaced };
        },
      },
      Retrieve: {
        operation: 'retrieve',
        async handle(request: RetrieveRequest, context: RequestContext) {
          const key = keyOf(request.key);
          const found = await service.retrieve(nameOf(request, context), key, context);
          const { record, revision, contentType } = found;
          return { record, revision, ...(contentType !== undefined && { contentType }) };
        },
      },
      Delete: {
        operation: 'delete',
        async handle(request: DeleteRequest, context: RequestContext) {
          const key = keyOf(request.key);
          return { existed: await service.delete(nameOf(request, context), key, context) };
        },
      },
    },
  });
}

function nameOf({ id, namespace }: NamedRequest, { caller }: RequestContext): RecordName {
  return { namespace: namespaceFor(namespace, caller), id };
}

function keyOf(key: Buffer): Buffer;
function keyOf(key: Buffer | undefined): Buffer | undefined;
function keyOf(key: Buffer | undefined): Buffer | undefined {
  if (key === undefined || key.length === KEY_BYTES) return key;
  throw new EncServerError('INVALID_KEY', `the key has ${key.length} bytes`, {
    hint: `a record key has ${KEY_BYTES} bytes`,
  });
}
