/** Reads the requests of a gRPC service by rules of our own: `lib/protocol/protobuf.ts`. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader';
import { EncServerError, toEncServerError } from '../errors.ts';
import { type Message, type MessageFields, readMessage } from '../protocol/protobuf.ts';

/** The parts of a field in a DescriptorProto that are looked at, as proto-loader has them. */
interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly label: string;
}

type Method = MethodDefinition<object, object>;

/**
 * The service as it is served. A message that cannot be read is replaced by an error: grpc-js
 * itself would report it without a code, as if it were a defect.
 */
export function readingStrictly(service: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(service).map(([name, method]) => {
    const fields = fieldsOf(method);
    const empty = method.requestDeserialize(Buffer.alloc(0)) as Message;
    const requestDeserialize = (bytes: Buffer): object => {
      try {
        return readMessage(bytes, fields, empty);
      } catch (thrown) {
        return toEncServerError(thrown);
      }
    };
    return [name, { ...method, requestDeserialize }] as const;
  });
  return Object.fromEntries(methods);
}

/** @throws EncServerError `INTERNAL` where proto/ has a field of another kind */
function fieldsOf({ path, requestType }: Method): MessageFields {
  const { field } = requestType.type as { readonly field: readonly FieldDescriptor[] };
  return new Map(
    field.map(({ name, number, type, label }) => {
      const isText = type === 'TYPE_STRING';
      if (label !== 'LABEL_OPTIONAL' || !(isText || type === 'TYPE_BYTES')) {
        throw new EncServerError('INTERNAL', `${path} has a field of the kind ${label} ${type}`);
      }
      return [number, { name, isText }];
    }),
  );
}
