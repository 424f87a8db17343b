/** Serves binary frames from the front end's service. `docs/PROTOCOL.md`, "Front end". */
import { isUtf8 } from 'node:buffer';
import type { RecordName } from '../../crypto/envelope.ts';
import { EncServerError } from '../../errors.ts';
import type { FrameSurface, Reply } from '../../net/frame-connection.ts';
import type { Port } from '../../net/port.ts';
import type { RequestContext } from '../../net/request.ts';
import { operationOf } from '../../net/traffic.ts';
import { type BatchItem, decodeBatch, encodeBatch } from '../../protocol/batch.ts';
import { encodeError } from '../../protocol/error-reply.ts';
import {
  bytesField,
  emptyField,
  type FieldEntry,
  Fields,
  u8Field,
  u32Field,
  u64Field,
} from '../../protocol/fields.ts';
import type { Frame } from '../../protocol/frame.ts';
import { LIST_IDS, LIST_IDS_MAX } from '../../protocol/limits.ts';
import { FIELD, type FieldType, OPCODE } from '../../protocol/messages.ts';
import { AGENT } from '../../version.ts';
import { doBatch, shareOf } from '../batches.ts';
import { namespaceFor } from '../reserved.ts';
import type { FeService, HeadOutput } from '../service.ts';
import { ALWAYS, IF_ABSENT, ifRevision, type WriteCondition } from '../write-condition.ts';

const ANY = [FIELD.TRACE, FIELD.TIMEOUT] as const;
const NAME = [...ANY, FIELD.ID, FIELD.NAMESPACE] as const;
/** The operations of the front end, each with the fields that it takes. */
const TAKES: Readonly<Record<number, readonly FieldType[]>> = {
  [OPCODE.HELLO]: [...ANY, FIELD.AGENT],
  [OPCODE.PING]: ANY,
  [OPCODE.INFO]: ANY,
  [OPCODE.STORE]: [
    ...NAME,
    FIELD.KEY,
    FIELD.OLD_KEY,
    FIELD.IF_ABSENT,
    FIELD.IF_REVISION,
    FIELD.EXPIRY,
    FIELD.ONCE,
    FIELD.CONTENT_TYPE,
  ],
  [OPCODE.RETRIEVE]: [...NAME, FIELD.KEY, FIELD.ACCEPT_BYTES, FIELD.READER],
  [OPCODE.DELETE]: [...NAME, FIELD.KEY, FIELD.IF_REVISION],
  [OPCODE.PEEK]: NAME,
  [OPCODE.REKEY]: [...NAME, FIELD.KEY, FIELD.OLD_KEY],
  [OPCODE.BATCH]: ANY,
  [OPCODE.LIST]: [...ANY, FIELD.NAMESPACE, FIELD.AFTER, FIELD.LIMIT],
};
/** The operations that a batch may contain. */
const BATCHED: ReadonlyMap<number, string> = new Map([
  [OPCODE.STORE, 'store'],
  [OPCODE.RETRIEVE, 'retrieve'],
  [OPCODE.DELETE, 'delete'],
]);
/**
 * What an answer in a batch takes besides a record, approximately and hardly ever more. In bytes.
 */
const ANSWER_BYTES = 512;
/**
 * Replies to BATCH may have this many bytes even where frames are shorter, so that the answers to
 * the most items always fit; LIST's may, too.
 */
const REPLY_BYTES = 1024 * 1024;

/** One operation on a record, its fields checked. */
interface Asked {
  readonly code: number;
  readonly fields: Fields;
  readonly body: Buffer;
  /** The longest record that may be returned, in bytes. */
  readonly acceptBytesMax?: number;
}

type RecordFacts = Pick<HeadOutput, 'revision' | 'expiryMs' | 'once'>;

export class FeFrames implements FrameSurface {
  readonly #service: FeService;
  readonly #port: Port;

  constructor(service: FeService, port: Port) {
    this.#service = service;
    this.#port = port;
  }

  handle(frame: Frame, context: RequestContext): Reply | Promise<Reply> {
    const takes = TAKES[frame.code];
    if (takes === undefined) {
      throw new EncServerError('UNKNOWN_OPCODE', `the front end has no operation ${frame.code}`);
    }
    const fields = Fields.decode(frame.fieldBytes, takes);
    context.adopt(fields, frame.code === OPCODE.HELLO);
    switch (frame.code) {
      case OPCODE.HELLO:
        return this.#hello();
      case OPCODE.PING:
        return { fields: [], body: frame.body };
      case OPCODE.INFO:
        return this.#info(context);
      case OPCODE.BATCH:
        return this.#batch(frame.body, context);
      case OPCODE.LIST:
        return this.#list(fields, context);
      case OPCODE.PEEK:
        return this.#peek(fields, context);
      case OPCODE.REKEY:
        return this.#rekey(fields, context);
      default:
        return this.#record({ code: frame.code, fields, body: frame.body }, context);
    }
  }

  /** STORE, RETRIEVE or DELETE: alone, or as an item of a batch. */
  #record(asked: Asked, context: RequestContext): Promise<Reply> {
    const { code, fields, body } = asked;
    if (code === OPCODE.STORE) return this.#store(fields, body, context);
    if (code === OPCODE.RETRIEVE) return this.#retrieve(asked, context);
    return this.#delete(fields, context);
  }

  async #batch(body: Buffer, context: RequestContext): Promise<Reply> {
    const { traffic, log } = this.#port;
    const items = decodeBatch(body);
    const retrieves = items.filter(({ code }) => code === OPCODE.RETRIEVE).length;
    const replyBytesMax = Math.max(this.#port.limits.frameBytesMax, REPLY_BYTES);
    const roomBytes = replyBytesMax - items.length * ANSWER_BYTES;
    const acceptBytesMax = shareOf(roomBytes, retrieves);
    const outcomes = await doBatch(
      items,
      ({ code }) => operationOf(BATCHED.get(code)),
      (item) => this.#record(askedOf(item, acceptBytesMax), context),
      { dialect: 'frames', traffic, context, log },
    );
    const answers = outcomes.map((outcome) =>
      'error' in outcome ? encodeError(outcome.error) : { code: 0, ...outcome.done },
    );
    return { fields: [], body: encodeBatch(answers, true) };
  }

  async #list(fields: Fields, context: RequestContext): Promise<Reply> {
    const namespace = namespaceOf(fields, context);
    const limit = Math.max(1, Math.min(fields.u32(FIELD.LIMIT) ?? LIST_IDS, LIST_IDS_MAX));
    const after = fields.bytes(FIELD.AFTER);
    const { ids, next } = await this.#service.listPage(namespace, after, limit, context);
    const body = Buffer.concat(ids.flatMap((id) => [lengthOf(id), id]));
    return { fields: next === undefined ? [] : [bytesField(FIELD.AFTER, next)], body };
  }

  #hello(): Reply {
    return {
      fields: [
        bytesField(FIELD.AGENT, Buffer.from(AGENT)),
        u32Field(FIELD.RECORD_BYTES_MAX, this.#port.limits.recordBytesMax),
      ],
    };
  }

  async #info(context: RequestContext): Promise<Reply> {
    const info = { ...(await this.#service.info(context)), ...this.#port.facts(context) };
    return { fields: [], body: Buffer.from(JSON.stringify(info)) };
  }

  async #store(fields: Fields, record: Buffer, context: RequestContext): Promise<Reply> {
    const input = {
      name: nameOf(fields, context),
      record,
      key: fields.bytes(FIELD.KEY),
      oldKey: fields.bytes(FIELD.OLD_KEY),
      condition: conditionOf(fields),
      expiryMs: fields.u64(FIELD.EXPIRY),
      once: fields.has(FIELD.ONCE),
      contentType: contentTypeOf(fields),
    };
    const done = await this.#service.store(input, context);
    const reply: FieldEntry[] = [
      bytesField(FIELD.REVISION, done.revision),
      u8Field(FIELD.REPLACED, done.replaced ? 1 : 0),
    ];
    if (done.drawnKey !== undefined) reply.push(bytesField(FIELD.KEY, done.drawnKey));
    return { fields: reply };
  }

  async #retrieve({ fields, acceptBytesMax }: Asked, context: RequestContext): Promise<Reply> {
    const key = fields.requireBytes(FIELD.KEY);
    const options = {
      reader: fields.bytes(FIELD.READER),
      acceptBytesMax: least(fields.u32(FIELD.ACCEPT_BYTES), acceptBytesMax),
    };
    const name = nameOf(fields, context);
    const found = await this.#service.retrieve(name, key, context, options);
    const reply = factFields(found);
    if (found.contentType !== undefined) {
      reply.push(bytesField(FIELD.CONTENT_TYPE, Buffer.from(found.contentType)));
    }
    return { fields: reply, body: found.record };
  }

  async #peek(fields: Fields, context: RequestContext): Promise<Reply> {
    const found = await this.#service.head(nameOf(fields, context), context);
    const reply = factFields(found);
    reply.push(u32Field(FIELD.SIZE, found.sealedBytes));
    return { fields: reply };
  }

  async #rekey(fields: Fields, context: RequestContext): Promise<Reply> {
    const oldKey = fields.requireBytes(FIELD.OLD_KEY);
    const newKey = fields.requireBytes(FIELD.KEY);
    const name = nameOf(fields, context);
    const { revision } = await this.#service.rekey(name, oldKey, newKey, context);
    return { fields: [bytesField(FIELD.REVISION, revision)] };
  }

  async #delete(fields: Fields, context: RequestContext): Promise<Reply> {
    const name = nameOf(fields, context);
    const existed = await this.#service.delete(
      name,
      fields.bytes(FIELD.KEY),
      context,
      conditionOf(fields),
    );
    return { fields: [u8Field(FIELD.REPLACED, existed ? 1 : 0)] };
  }
}

function nameOf(fields: Fields, context: RequestContext): RecordName {
  return { namespace: namespaceOf(fields, context), id: fields.requireBytes(FIELD.ID) };
}

function namespaceOf(fields: Fields, { caller }: RequestContext): Buffer {
  return namespaceFor(fields.bytes(FIELD.NAMESPACE), caller);
}

/**
 * An item of a batch, checked. A record that it retrieves may be no longer than its share of the
 * reply.
 *
 * @throws EncServerError as `Fields.decode`; `UNKNOWN_OPCODE`
 */
function askedOf({ code, fieldBytes, body }: BatchItem, acceptBytesMax: number): Asked {
  const takes = TAKES[code];
  if (takes === undefined || !BATCHED.has(code)) {
    throw new EncServerError('UNKNOWN_OPCODE', `a batch has no operation ${code}`, {
      hint: 'its items are STORE, RETRIEVE and DELETE',
    });
  }
  const fields = Fields.decode(fieldBytes, takes);
  if (fields.has(FIELD.TOKEN)) {
    throw new EncServerError('UNKNOWN_FIELD', 'a token goes with the whole batch');
  }
  return { code, fields, body, acceptBytesMax };
}

/** The smaller of two bounds, either of which may be absent. */
function least(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

/** The u16 length before an ID in a list. */
function lengthOf(id: Buffer): Buffer {
  return Buffer.of(id.length >> 8, id.length & 0xff);
}

function conditionOf(fields: Fields): WriteCondition {
  const revision = fields.bytes(FIELD.IF_REVISION);
  if (revision === undefined) return fields.has(FIELD.IF_ABSENT) ? IF_ABSENT : ALWAYS;
  if (!fields.has(FIELD.IF_ABSENT)) return ifRevision(revision);
  throw new EncServerError('INVALID_FIELD', 'two conditions exclude each other');
}

function contentTypeOf(fields: Fields): string | undefined {
  const bytes = fields.bytes(FIELD.CONTENT_TYPE);
  if (bytes === undefined || isUtf8(bytes)) return bytes?.toString('utf8');
  throw new EncServerError('INVALID_FIELD', 'field CONTENT_TYPE is no UTF-8');
}

/** What is told of a record besides its content. */
function factFields({ revision, expiryMs, once }: RecordFacts): FieldEntry[] {
  const fields = [bytesField(FIELD.REVISION, revision)];
  if (expiryMs > 0) fields.push(u64Field(FIELD.EXPIRY, expiryMs));
  if (once) fields.push(emptyField(FIELD.ONCE));
  return fields;
}
