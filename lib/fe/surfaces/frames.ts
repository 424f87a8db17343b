/** Binary frames to the front end's service. `docs/PROTOCOL.md`, "Front end". */
import { isUtf8 } from 'node:buffer';
import type { RecordName } from '../../crypto/envelope.ts';
import { EncServerError } from '../../errors.ts';
import type { FrameSurface, Reply } from '../../net/frame-connection.ts';
import type { Port } from '../../net/port.ts';
import type { RequestContext } from '../../net/request.ts';
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
import { FIELD, type FieldType, OPCODE } from '../../protocol/messages.ts';
import { AGENT } from '../../version.ts';
import { checkCallersNamespace } from '../reserved.ts';
import type { FeService, HeadOutput, WriteCondition } from '../service.ts';

const ANY = [FIELD.TRACE, FIELD.TIMEOUT] as const;
const NAME = [...ANY, FIELD.ID, FIELD.NAMESPACE] as const;
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
};
type RecordFacts = Pick<HeadOutput, 'revision' | 'expiryMs' | 'once'>;

const NO_BYTES = Buffer.alloc(0);
const ALWAYS: WriteCondition = { kind: 'always' };
const IF_ABSENT: WriteCondition = { kind: 'absent' };

export class FeFrames implements FrameSurface {
  readonly #service: FeService;
  readonly #port: Port;

  constructor(service: FeService, port: Port) {
    this.#service = service;
    this.#port = port;
  }

  async handle(frame: Frame, context: RequestContext): Promise<Reply> {
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
      case OPCODE.STORE:
        return await this.#store(fields, frame.body, context);
      case OPCODE.RETRIEVE:
        return await this.#retrieve(fields, context);
      case OPCODE.PEEK:
        return await this.#peek(fields, context);
      case OPCODE.REKEY:
        return await this.#rekey(fields, context);
      default:
        return await this.#delete(fields, context);
    }
  }

  #hello(): Reply {
    return {
      fields: [
        bytesField(FIELD.AGENT, Buffer.from(AGENT)),
        u32Field(FIELD.RECORD_BYTES_MAX, this.#port.limits.recordBytesMax),
      ],
    };
  }

  #info(context: RequestContext): Reply {
    const info = { ...this.#service.info(context), ...this.#port.facts(context) };
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

  async #retrieve(fields: Fields, context: RequestContext): Promise<Reply> {
    const key = fields.requireBytes(FIELD.KEY);
    const options = {
      reader: fields.bytes(FIELD.READER),
      acceptBytesMax: fields.u32(FIELD.ACCEPT_BYTES),
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
    return { fields: [...factFields(found), u32Field(FIELD.SIZE, found.sealedBytes)] };
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

/** Who may touch one namespace alone need not name it. */
function nameOf(fields: Fields, { caller }: RequestContext): RecordName {
  const namespace = fields.bytes(FIELD.NAMESPACE) ?? caller.namespace ?? NO_BYTES;
  checkCallersNamespace(namespace);
  return { namespace, id: fields.requireBytes(FIELD.ID) };
}

function conditionOf(fields: Fields): WriteCondition {
  const revision = fields.bytes(FIELD.IF_REVISION);
  if (revision === undefined) return fields.has(FIELD.IF_ABSENT) ? IF_ABSENT : ALWAYS;
  if (!fields.has(FIELD.IF_ABSENT)) return { kind: 'revision', revision };
  throw new EncServerError('INVALID_FIELD', 'two conditions exclude each other');
}

function contentTypeOf(fields: Fields): string | undefined {
  const bytes = fields.bytes(FIELD.CONTENT_TYPE);
  if (bytes === undefined || isUtf8(bytes)) return bytes?.toString('utf8');
  throw new EncServerError('INVALID_FIELD', 'field CONTENT_TYPE is no UTF-8');
}

/** What of a record is told beside itself. */
function factFields({ revision, expiryMs, once }: RecordFacts): FieldEntry[] {
  const fields = [bytesField(FIELD.REVISION, revision)];
  if (expiryMs > 0) fields.push(u64Field(FIELD.EXPIRY, expiryMs));
  if (once) fields.push(emptyField(FIELD.ONCE));
  return fields;
}
