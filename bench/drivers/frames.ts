/** Our frames, and the same frames to a server that only echoes them. */
import { connect, type Socket } from 'node:net';
import type { FieldEntry } from '../../lib/protocol/fields.ts';
import { bytesField, Fields } from '../../lib/protocol/fields.ts';
import { encodeRequest, type Frame, FrameDecoder } from '../../lib/protocol/frame.ts';
import { FIELD, OPCODE, type Opcode } from '../../lib/protocol/messages.ts';
import type { Connection, Driver, Item, Target } from './driver.ts';

const FRAME_BYTES_MAX = 16 * 1024 * 1024 - 1;

/** Requests on one connection, distinguished by their IDs. */
class FramesConnection implements Connection {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder(FRAME_BYTES_MAX);
  readonly #waiting = new Map<number, (frame: Frame) => void>();
  #lastId = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#decoder.push(chunk);
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
        const answered = this.#waiting.get(frame.requestId);
        this.#waiting.delete(frame.requestId);
        answered?.(frame);
      }
    });
  }

  async store(item: Item, record: Buffer): Promise<void> {
    const { fieldBytes } = await this.#ask(OPCODE.STORE, [bytesField(FIELD.ID, item.id)], record);
    item.key = Buffer.from(Fields.decode(fieldBytes).requireBytes(FIELD.KEY));
  }

  async retrieve({ id, key = Buffer.alloc(0) }: Item): Promise<number> {
    const fields = [bytesField(FIELD.ID, id), bytesField(FIELD.KEY, key)];
    return (await this.#ask(OPCODE.RETRIEVE, fields)).body.length;
  }

  async remove({ id }: Item): Promise<void> {
    await this.#ask(OPCODE.DELETE, [bytesField(FIELD.ID, id)]);
  }

  async close(): Promise<void> {
    this.#socket.destroy();
  }

  #ask(opcode: Opcode, fields: FieldEntry[], body?: Buffer): Promise<Frame> {
    const requestId = ++this.#lastId;
    const sent = new Promise<Frame>((resolve, reject) => {
      this.#waiting.set(requestId, (frame) => {
        if (frame.code === 0) resolve(frame);
        else reject(new Error(frame.body.toString()));
      });
    });
    const [first, ...rest] = encodeRequest(opcode, requestId, fields, body);
    this.#socket.cork();
    if (first !== undefined) this.#socket.write(first);
    for (const buffer of rest) this.#socket.write(buffer);
    this.#socket.uncork();
    return sent;
  }
}

export class FramesDriver implements Driver {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async connect(): Promise<Connection> {
    return new FramesConnection(await open(this.#target));
  }
}

/** Counts bytes: everything that is sent comes back. */
class EchoConnection implements Connection {
  readonly #socket: Socket;
  readonly #waiting: { left: number; readonly resolve: () => void }[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      let bytes = chunk.length;
      for (
        let first = this.#waiting[0];
        bytes > 0 && first !== undefined;
        first = this.#waiting[0]
      ) {
        const taken = Math.min(bytes, first.left);
        first.left -= taken;
        bytes -= taken;
        if (first.left > 0) return;
        this.#waiting.shift();
        first.resolve();
      }
    });
  }

  async store({ id }: Item, record: Buffer): Promise<void> {
    const frame = encodeRequest(OPCODE.STORE, 1, [bytesField(FIELD.ID, id)], record);
    const left = frame.reduce((sum, buffer) => sum + buffer.length, 0);
    await new Promise<void>((resolve) => {
      this.#waiting.push({ left, resolve });
      this.#socket.cork();
      for (const buffer of frame) this.#socket.write(buffer);
      this.#socket.uncork();
    });
  }

  async retrieve(): Promise<number> {
    throw new Error('an echo keeps nothing');
  }

  async remove(): Promise<void> {
    throw new Error('an echo keeps nothing');
  }

  async close(): Promise<void> {
    this.#socket.destroy();
  }
}

export class EchoDriver implements Driver {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async connect(): Promise<Connection> {
    return new EchoConnection(await open(this.#target));
  }
}

export async function open({ host, port }: Target): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}
