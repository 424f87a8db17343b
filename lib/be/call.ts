/** What accompanies every call to a back end, and its fields. */
import { EncServerError } from '../errors.ts';
import type { CallOptions } from '../net/client.ts';
import { bytesField, emptyField, type FieldEntry, u32Field } from '../protocol/fields.ts';
import { FIELD } from '../protocol/messages.ts';
import type { Condition } from '../store/store.ts';

/** What accompanies a call from a front end. */
export interface BeCall extends CallOptions {
  /** Trace ID of the request that the caller serves, 16 bytes. */
  readonly trace?: Buffer | undefined;
  /** The caller's span in that trace, as the field SPAN has it: 9 bytes. */
  readonly span?: Buffer | undefined;
  /** Epoch of the keyring that the store key comes from: `STALE_EPOCH` if there is a newer one. */
  readonly epoch?: number | undefined;
}

/** The fields of what accompanies a call; absent values have none. */
export function fieldsOf(call: BeCall): FieldEntry[] {
  const fields: FieldEntry[] = [];
  pushCall(fields, call);
  return fields;
}

function pushCall(fields: FieldEntry[], { trace, span, epoch }: BeCall): void {
  if (trace !== undefined) fields.push(bytesField(FIELD.TRACE, trace));
  if (span !== undefined) fields.push(bytesField(FIELD.SPAN, span));
  if (epoch !== undefined) fields.push(u32Field(FIELD.EPOCH, epoch));
}

/** The fields of a call that asks for one key. */
export function keyFields(key: Buffer, call: BeCall): FieldEntry[] {
  const fields = [bytesField(FIELD.STORE_KEY, key)];
  pushCall(fields, call);
  return fields;
}

/** Adds the condition of a write. @throws EncServerError `INVALID_FIELD` */
export function pushCondition(fields: FieldEntry[], condition: Condition): void {
  switch (condition.kind) {
    case 'always':
      break;
    case 'absent':
      fields.push(emptyField(FIELD.IF_ABSENT));
      break;
    case 'revision':
      fields.push(bytesField(FIELD.IF_REVISION, condition.revision));
      break;
    default:
      // From plain JavaScript.
      throw new EncServerError('INVALID_FIELD', 'the condition of the write is unknown', {
        hint: 'kind is always, absent or revision',
      });
  }
}

/** The called server may be a front end, which has no store. */
export function noBackEnd(): EncServerError {
  const hint = 'check serverAddr in beClientConfigs (--be)';
  return new EncServerError('BAD_CONFIG', 'the server that is called is no back end', { hint });
}
