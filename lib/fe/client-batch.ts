/** The batches of the client library: their content, and how it is encoded in one frame. */
import { EncServerError, toEncServerError } from '../errors.ts';
import { type BatchEntry, type BatchItem, decodeBatch, encodeBatch } from '../protocol/batch.ts';
import { bufferOf } from '../protocol/bytes.ts';
import { decodeError } from '../protocol/error-reply.ts';
import { bytesField, Fields } from '../protocol/fields.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import {
  type DeleteCall,
  factsOf,
  nameFields,
  pushStoreFields,
  type RetrieveCall,
  type Retrieved,
  type StoreCall,
  type Stored,
} from './client-fields.ts';

/** A STORE in a batch. */
export interface BatchStore extends StoreCall {
  /** The kind of request. */
  readonly op: 'store';
  /** 1 to 1024 bytes; a string is taken as UTF-8. */
  readonly id: string | Uint8Array;
  /** The record itself; all requests of a batch share one frame. */
  readonly record: Uint8Array;
}

/** A RETRIEVE in a batch. */
export interface BatchRetrieve extends RetrieveCall {
  /** The kind of request. */
  readonly op: 'retrieve';
  /** 1 to 1024 bytes; a string is taken as UTF-8. */
  readonly id: string | Uint8Array;
  /** The key that the record was stored under, 32 bytes. */
  readonly key: Uint8Array;
}

/** A DELETE in a batch. */
export interface BatchDelete extends DeleteCall {
  /** The kind of request. */
  readonly op: 'delete';
  /** 1 to 1024 bytes; a string is taken as UTF-8. */
  readonly id: string | Uint8Array;
}

/** One request of a batch; its options are those of the client's method of the same name. */
export type BatchRequest = BatchStore | BatchRetrieve | BatchDelete;

/** A STORE that succeeded. */
export interface BatchStored {
  /** As in the request. */
  readonly op: 'store';
  /** Includes the key, which was drawn if the request had none. */
  readonly stored: Stored;
  /** Distinguishes it from {@link BatchFailed}. */
  readonly error?: undefined;
}

/** A RETRIEVE that succeeded. */
export interface BatchRetrieved {
  /** As in the request. */
  readonly op: 'retrieve';
  /** The record and what was stored with it. */
  readonly found: Retrieved;
  /** Distinguishes it from {@link BatchFailed}. */
  readonly error?: undefined;
}

/** A DELETE that succeeded. */
export interface BatchDeleted {
  /** As in the request. */
  readonly op: 'delete';
  /** Whether there was a record. */
  readonly existed: boolean;
  /** Distinguishes it from {@link BatchFailed}. */
  readonly error?: undefined;
}

/** A request that failed. */
export interface BatchFailed {
  /** As in the request. */
  readonly op: BatchRequest['op'];
  /** The error that the client's method of the same name would reject with, or `LARGE`. */
  readonly error: EncServerError;
}

/** The outcome of one request of a batch. */
export type BatchAnswer = BatchStored | BatchRetrieved | BatchDeleted | BatchFailed;

/** Whether doing it twice is the same as doing it once. */
export function isRepeatable(request: BatchRequest): boolean {
  if (request.op === 'delete') return false;
  return request.op === 'retrieve' || (!request.ifAbsent && request.ifRevision === undefined);
}

/** `drawReader` makes a reader's token for requests that bring none. */
export function encodeRequests(
  requests: readonly BatchRequest[],
  drawReader: () => Buffer,
): Buffer {
  return encodeBatch(
    requests.map((request) => entryOf(request, drawReader)),
    false,
  );
}

function entryOf(request: BatchRequest, drawReader: () => Buffer): BatchEntry {
  const fields = nameFields(request.id, request);
  if (request.key !== undefined) fields.push(bytesField(FIELD.KEY, bufferOf(request.key)));
  switch (request.op) {
    case 'store':
      pushStoreFields(fields, request);
      return { code: OPCODE.STORE, fields, body: bufferOf(request.record) };
    case 'retrieve':
      fields.push(bytesField(FIELD.READER, bufferOf(request.reader ?? drawReader())));
      return { code: OPCODE.RETRIEVE, fields };
    case 'delete':
      if (request.ifRevision !== undefined) {
        fields.push(bytesField(FIELD.IF_REVISION, bufferOf(request.ifRevision)));
      }
      return { code: OPCODE.DELETE, fields };
    default:
      // From plain JavaScript.
      throw new EncServerError('INVALID_FIELD', 'a request of the batch has an unknown op', {
        hint: 'op is store, retrieve or delete',
      });
  }
}

/** @throws EncServerError `BAD_FRAME` if it is not an answer to these requests */
export function decodeAnswers(body: Buffer, requests: readonly BatchRequest[]): BatchAnswer[] {
  let items: BatchItem[];
  try {
    items = decodeBatch(body);
  } catch (cause) {
    throw new EncServerError('BAD_FRAME', 'the answer to a batch is cut', { cause });
  }
  if (items.length !== requests.length) {
    throw new EncServerError('BAD_FRAME', 'the answer to a batch has another length');
  }
  return requests.map((request, index) => answerOf(request, items[index] as BatchItem));
}

function answerOf(request: BatchRequest, item: BatchItem): BatchAnswer {
  const { op } = request;
  if (item.code !== 0) return { op, error: decodeError(item) };
  try {
    const fields = Fields.decode(item.fieldBytes);
    const replaced = fields.u8(FIELD.REPLACED) === 1;
    if (op === 'delete') return { op, existed: replaced };
    if (op === 'store') {
      const revision = fields.requireBytes(FIELD.REVISION);
      return { op, stored: { key: bufferOf(request.key ?? ''), revision, replaced } };
    }
    const contentType = fields.bytes(FIELD.CONTENT_TYPE)?.toString('utf8');
    return { op, found: { record: item.body, contentType, ...factsOf(fields) } };
  } catch (thrown) {
    return { op, error: toEncServerError(thrown) };
  }
}
