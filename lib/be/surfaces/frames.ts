/** Serves binary frames from the back end's service. `docs/PROTOCOL.md`, "Back end". */
import { EncServerError } from '../../errors.ts';
import type { FrameSurface, Reply } from '../../net/frame-connection.ts';
import type { Port } from '../../net/port.ts';
import type { RequestContext } from '../../net/request.ts';
import {
  bytesField,
  type FieldEntry,
  Fields,
  u8Field,
  u32Field,
  u64Field,
} from '../../protocol/fields.ts';
import type { Frame } from '../../protocol/frame.ts';
import { FIELD, type FieldType, OPCODE } from '../../protocol/messages.ts';
import {
  ALWAYS,
  type Condition,
  IF_ABSENT,
  ifRevision,
  type ScanPage,
  type StoredHead,
} from '../../store/store.ts';
import { AGENT } from '../../version.ts';
import { encodeScanItems } from '../scan-items.ts';
import type { BeService, BeSession } from '../service.ts';

const ANY = [FIELD.TRACE, FIELD.TIMEOUT] as const;
/** Requests for records name the epoch of the keyring that they were made under. */
const RECORD = [...ANY, FIELD.EPOCH] as const;
/** The operations of the back end, each with the fields that it takes. */
const TAKES: Readonly<Record<number, readonly FieldType[]>> = {
  [OPCODE.HELLO]: [...ANY, FIELD.AGENT, FIELD.KEYRING, FIELD.EPOCH],
  [OPCODE.PING]: ANY,
  [OPCODE.INFO]: ANY,
  [OPCODE.PUT]: [
    ...RECORD,
    FIELD.STORE_KEY,
    FIELD.HEAD,
    FIELD.EXPIRY,
    FIELD.IF_ABSENT,
    FIELD.IF_REVISION,
    FIELD.REVISION,
  ],
  [OPCODE.GET]: [...RECORD, FIELD.STORE_KEY, FIELD.ACCEPT_BYTES],
  [OPCODE.HEAD]: [...RECORD, FIELD.STORE_KEY],
  [OPCODE.REMOVE]: [...RECORD, FIELD.STORE_KEY, FIELD.IF_REVISION],
  [OPCODE.SCAN]: [...RECORD, FIELD.PREFIX, FIELD.AFTER, FIELD.LIMIT],
  [OPCODE.SNAPSHOT_OPEN]: ANY,
  [OPCODE.SNAPSHOT_SCAN]: [...ANY, FIELD.LEASE, FIELD.PREFIX, FIELD.AFTER, FIELD.LIMIT],
  [OPCODE.SNAPSHOT_GET]: [...ANY, FIELD.LEASE, FIELD.STORE_KEY, FIELD.ACCEPT_BYTES],
  [OPCODE.SNAPSHOT_CLOSE]: [...ANY, FIELD.LEASE],
};
const NO_BYTES = Buffer.alloc(0);
/** Items of a page if no number is requested. */
const SCAN_LIMIT = 1_000;

export class BeFrames implements FrameSurface {
  readonly #service: BeService;
  readonly #port: Port;
  readonly #session: BeSession = { epoch: undefined };

  constructor(service: BeService, port: Port) {
    this.#service = service;
    this.#port = port;
  }

  handle(frame: Frame, context: RequestContext): Reply | Promise<Reply> {
    const takes = TAKES[frame.code];
    if (takes === undefined) {
      throw new EncServerError('UNKNOWN_OPCODE', `the back end has no operation ${frame.code}`);
    }
    const fields = Fields.decode(frame.fieldBytes, takes);
    context.adopt(fields, frame.code === OPCODE.HELLO);
    switch (frame.code) {
      case OPCODE.HELLO:
        return this.#hello(fields, context);
      case OPCODE.PING:
        return { fields: [], body: frame.body };
      case OPCODE.INFO:
        return this.#info(context);
      case OPCODE.PUT:
        return this.#put(fields, frame.body, context);
      case OPCODE.GET:
        return this.#get(fields, context);
      case OPCODE.HEAD:
        return this.#head(fields, context);
      case OPCODE.REMOVE:
        return this.#remove(fields, context);
      case OPCODE.SCAN:
        return this.#scan(fields, context);
      default:
        return this.#snapshot(frame.code, fields, context);
    }
  }

  closed(): void {
    this.#service.goodbye(this.#session);
  }

  /** The connection may have greeted with a newer epoch after a request was made. */
  #asker(fields: Fields): BeSession {
    const epoch = fields.u32(FIELD.EPOCH);
    return epoch === undefined || this.#session.epoch === undefined ? this.#session : { epoch };
  }

  async #hello(fields: Fields, context: RequestContext): Promise<Reply> {
    const mark =
      fields.has(FIELD.KEYRING) || fields.has(FIELD.EPOCH)
        ? { keyringId: fields.requireBytes(FIELD.KEYRING), epoch: fields.requireU32(FIELD.EPOCH) }
        : undefined;
    const { storeId, keyring } = await this.#service.hello(this.#session, mark, context);
    const reply: FieldEntry[] = [
      bytesField(FIELD.AGENT, Buffer.from(AGENT)),
      u32Field(FIELD.RECORD_BYTES_MAX, this.#port.limits.recordBytesMax),
      bytesField(FIELD.STORE_ID, storeId),
    ];
    if (keyring !== undefined) {
      reply.push(bytesField(FIELD.KEYRING, keyring.keyringId));
      reply.push(u32Field(FIELD.EPOCH, keyring.epoch));
    }
    return { fields: reply };
  }

  async #info(context: RequestContext): Promise<Reply> {
    const info = { ...(await this.#service.info(context)), ...this.#port.facts(context) };
    return { fields: [], body: Buffer.from(JSON.stringify(info)) };
  }

  async #put(fields: Fields, body: Buffer, context: RequestContext): Promise<Reply> {
    const value = {
      head: fields.bytes(FIELD.HEAD) ?? NO_BYTES,
      body,
      expiryMs: fields.u64(FIELD.EXPIRY) ?? 0,
      revision: fields.bytes(FIELD.REVISION),
    };
    const key = fields.requireBytes(FIELD.STORE_KEY);
    const condition = conditionOf(fields);
    const asker = this.#asker(fields);
    const done = await this.#service.put(asker, key, value, condition, context);
    return {
      fields: [
        bytesField(FIELD.REVISION, done.revision),
        u8Field(FIELD.REPLACED, done.replaced ? 1 : 0),
      ],
    };
  }

  async #get(fields: Fields, context: RequestContext): Promise<Reply> {
    const key = fields.requireBytes(FIELD.STORE_KEY);
    const acceptBytes = this.#acceptBytes(fields);
    const found = await this.#service.get(this.#asker(fields), key, acceptBytes, context);
    return { fields: headFields(found), body: found.body ?? NO_BYTES };
  }

  /** A caller that names no bound takes whatever fits into a frame. */
  #acceptBytes(fields: Fields): number {
    return fields.u32(FIELD.ACCEPT_BYTES) ?? this.#port.limits.frameBytesMax;
  }

  async #head(fields: Fields, context: RequestContext): Promise<Reply> {
    const key = fields.requireBytes(FIELD.STORE_KEY);
    const found = await this.#service.head(this.#asker(fields), key, context);
    return { fields: [...headFields(found), u32Field(FIELD.SIZE, found.bodyBytes)] };
  }

  async #remove(fields: Fields, context: RequestContext): Promise<Reply> {
    const key = fields.requireBytes(FIELD.STORE_KEY);
    const condition = conditionOf(fields);
    const removed = await this.#service.remove(this.#asker(fields), key, condition, context);
    return { fields: [u8Field(FIELD.REPLACED, removed ? 1 : 0)] };
  }

  async #scan(fields: Fields, context: RequestContext): Promise<Reply> {
    const page = await this.#service.scan(
      this.#asker(fields),
      fields.requireBytes(FIELD.PREFIX),
      fields.bytes(FIELD.AFTER),
      fields.u32(FIELD.LIMIT) ?? SCAN_LIMIT,
      context,
    );
    return pageReply(page);
  }

  async #snapshot(code: number, fields: Fields, context: RequestContext): Promise<Reply> {
    const { snapshots } = this.#service;
    if (code === OPCODE.SNAPSHOT_OPEN) {
      const lease = await snapshots.open(context);
      return { fields: [bytesField(FIELD.LEASE, lease)] };
    }
    const lease = fields.requireBytes(FIELD.LEASE);
    if (code === OPCODE.SNAPSHOT_CLOSE) {
      await snapshots.close(lease, context);
      return { fields: [] };
    }
    if (code === OPCODE.SNAPSHOT_GET) {
      const key = fields.requireBytes(FIELD.STORE_KEY);
      const found = await snapshots.get(lease, key, this.#acceptBytes(fields), context);
      return { fields: headFields(found), body: found.body ?? NO_BYTES };
    }
    const prefix = fields.requireBytes(FIELD.PREFIX);
    const limit = fields.u32(FIELD.LIMIT) ?? SCAN_LIMIT;
    const after = fields.bytes(FIELD.AFTER);
    return pageReply(await snapshots.scan(lease, prefix, after, limit, context));
  }
}

function pageReply(page: ScanPage): Reply {
  const last = page.items.at(-1);
  const more = page.more && last !== undefined ? [bytesField(FIELD.AFTER, last.key)] : [];
  return { fields: more, body: encodeScanItems(page.items) };
}

function conditionOf(fields: Fields): Condition {
  const revision = fields.bytes(FIELD.IF_REVISION);
  if (revision === undefined) return fields.has(FIELD.IF_ABSENT) ? IF_ABSENT : ALWAYS;
  if (fields.has(FIELD.IF_ABSENT)) {
    throw new EncServerError('INVALID_FIELD', 'two conditions exclude each other');
  }
  return ifRevision(revision);
}

function headFields(found: StoredHead): FieldEntry[] {
  return [
    bytesField(FIELD.HEAD, found.head),
    bytesField(FIELD.REVISION, found.revision),
    u64Field(FIELD.EXPIRY, found.expiryMs),
  ];
}
