/** The batches of the client library: what they hold, and how it stands in one frame. */
import { EncServerError, toEncServerError } from '../errors.ts';
import { type BatchEntry, type BatchItem, decodeBatch, encodeBatch } from '../protocol/batch.ts';
import { bytesField, Fields } from '../protocol/fields.ts';
import { decodeError } from '../protocol/frame.ts';
import { FIELD, OPCODE } from '../protocol/messages.ts';
import {
  bufferOf,
  type DeleteCall,
  factsOf,
  nameFields,
  pushStoreFields,
  type RetrieveCall,
  type Retrieved,
  type StoreCall,
  type Stored,
} from './client-fields.ts';

interface Named {
  readonly id: string | Uint8Array;
}

/** One request of a batch; its options are those of the method of its name. */
export type BatchRequest =
  | (Named & StoreCall & { readonly op: 'store'; readonly record: Uint8Array })
  | (Named & RetrieveCall & { readonly op: 'retrieve'; readonly key: Uint8Array })
  | (Named & DeleteCall & { readonly op: 'delete' });

/** What became of one request of a batch. */
export type BatchAnswer =
  | { readonly op: 'store'; readonly stored: Stored; readonly error?: undefined }
  | { readonly op: 'retrieve'; readonly found: Retrieved; readonly error?: undefined }
  | { readonly op: 'delete'; readonly existed: boolean; readonly error?: undefined }
  | { readonly op: BatchRequest['op']; readonly error: EncServerError };

/** Whether doing it twice is the same as doing it once. */
export function isRepeatable(request: BatchRequest): boolean {
  if (request.op === 'delete') return false;
  return request.op === 'retrieve' || (!request.ifAbsent && request.ifRevision === undefined);
}

/** `drawReader` makes a reader's token for those who bring none. */
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
    default:
      if (request.ifRevision !== undefined) {
        fields.push(bytesField(FIELD.IF_REVISION, bufferOf(request.ifRevision)));
      }
      return { code: OPCODE.DELETE, fields };
  }
}

/** @throws EncServerError `BAD_FRAME` if it is no answer to these requests */
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
