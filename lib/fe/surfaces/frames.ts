/** Binary frames to the front end's service. `docs/PROTOCOL.md`, "Front end". */
import type { RecordName } from '../../crypto/envelope.ts';
import { EncServerError } from '../../errors.ts';
import type { FrameSurface, Reply } from '../../net/frame-connection.ts';
import type { Port } from '../../net/port.ts';
import type { RequestContext } from '../../net/request.ts';
import { bytesField, type FieldEntry, Fields, u8Field, u32Field } from '../../protocol/fields.ts';
import type { Frame } from '../../protocol/frame.ts';
import { FIELD, type FieldType, OPCODE } from '../../protocol/messages.ts';
import { AGENT } from '../../version.ts';
import { checkCallersNamespace } from '../reserved.ts';
import type { FeService } from '../service.ts';

const ANY = [FIELD.TRACE, FIELD.TIMEOUT] as const;
const NAME = [...ANY, FIELD.ID, FIELD.NAMESPACE] as const;
const TAKES: Readonly<Record<number, readonly FieldType[]>> = {
  [OPCODE.HELLO]: [...ANY, FIELD.AGENT],
  [OPCODE.PING]: ANY,
  [OPCODE.INFO]: ANY,
  [OPCODE.STORE]: [...NAME, FIELD.KEY, FIELD.IF_ABSENT],
  [OPCODE.RETRIEVE]: [...NAME, FIELD.KEY, FIELD.ACCEPT_BYTES],
  [OPCODE.DELETE]: [...NAME, FIELD.KEY],
};
const NO_BYTES = Buffer.alloc(0);
const ALWAYS = { kind: 'always' } as const;
const IF_ABSENT = { kind: 'absent' } as const;

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
      condition: fields.has(FIELD.IF_ABSENT) ? IF_ABSENT : ALWAYS,
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
    const { record, revision } = await this.#service.retrieve(
      nameOf(fields, context),
      key,
      context,
    );
    const acceptBytes = fields.u32(FIELD.ACCEPT_BYTES) ?? record.length;
    if (record.length > acceptBytes) {
      const words = `the record has ${record.length} bytes`;
      throw new EncServerError('LARGE', words, { sizeBytes: record.length });
    }
    return { fields: [bytesField(FIELD.REVISION, revision)], body: record };
  }

  async #delete(fields: Fields, context: RequestContext): Promise<Reply> {
    const name = nameOf(fields, context);
    const existed = await this.#service.delete(name, fields.bytes(FIELD.KEY), context);
    return { fields: [u8Field(FIELD.REPLACED, existed ? 1 : 0)] };
  }
}

/** Who may touch one namespace alone need not name it. */
function nameOf(fields: Fields, { caller }: RequestContext): RecordName {
  const namespace = fields.bytes(FIELD.NAMESPACE) ?? caller.namespace ?? NO_BYTES;
  checkCallersNamespace(namespace);
  return { namespace, id: fields.requireBytes(FIELD.ID) };
}
