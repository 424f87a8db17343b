/**
 * Serves gRPC from the back end's service: what the family's Go front end (v2) sends, stored as it
 * is.
 */
import { isUtf8 } from 'node:buffer';
import { EncServerError } from '../../errors.ts';
import type { ConnectionHost } from '../../net/connection.ts';
import type { GrpcSurface } from '../../net/grpc-door.ts';
import { openGrpcServer } from '../../net/grpc-server.ts';
import type { RequestContext } from '../../net/request.ts';
import type { BeService } from '../service.ts';

export interface BeGrpcHost extends ConnectionHost {
  readonly service: BeService;
}

interface TokenRequest {
  readonly id: string;
}

interface StoreRequest extends TokenRequest {
  readonly data: string;
}

/** The Go back end's answer on success: an empty message. */
const SUCCESS = { message: '' };

/** The server behind the door of a back end's port. */
export function openBeGrpc(host: BeGrpcHost): GrpcSurface {
  const { service } = host;
  return openGrpcServer(host, {
    proto: 'service.proto',
    service: 'service.BackendService',
    isReady: async () => service.unreadyReason() === undefined,
    methods: {
      StoreRecord: {
        operation: 'store',
        async handle({ id, data }: StoreRequest, context: RequestContext) {
          await service.storeForeign(Buffer.from(id), Buffer.from(data), context);
          return SUCCESS;
        },
      },
      RetrieveRecord: {
        operation: 'retrieve',
        async handle({ id }: TokenRequest, context: RequestContext) {
          const record = await service.retrieveForeign(Buffer.from(id), context);
          return { ...SUCCESS, data: textOf(record) };
        },
      },
      DeleteRecord: {
        operation: 'delete',
        async handle({ id }: TokenRequest, context: RequestContext) {
          await service.deleteForeign(Buffer.from(id), context);
          return SUCCESS;
        },
      },
    },
  });
}

/** @throws EncServerError `NOT_TEXT` */
function textOf(record: Buffer): string {
  if (isUtf8(record)) return record.toString('utf8');
  const hint = 'binary frames give any bytes';
  throw new EncServerError('NOT_TEXT', 'the record is no UTF-8', { hint });
}
