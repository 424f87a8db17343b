/**
 * The connection between the two processes of a bare pair. A request is `u32 id ‖ u8 writes ‖ u32
 * key length ‖ u32 value length ‖ key ‖ value`, an answer `u32 id ‖ u32 length ‖ value`. What is
 * sent in one turn of the event loop is one write.
 */
import { connect, type Socket } from 'node:net';

export interface Asked {
  readonly id: number;
  /** Whether it stores `value`; otherwise it reads. */
  readonly writes: boolean;
  readonly key: Buffer;
  readonly value: Buffer;
}

type Answered = (value: Buffer) => void;

const ASK_BYTES = 13;
const ANSWER_BYTES = 8;
export const NO_BYTES: Buffer = Buffer.alloc(0);

/** The front's end. */
export class Link {
  readonly #socket: Socket;
  readonly #send: (head: Buffer, body: Buffer) => void;
  readonly #waiting = new Map<number, Answered>();
  #lastId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#send = senderOf(socket);
    const take = cutter((bytes, at) => {
      if (bytes.length < at + ANSWER_BYTES) return undefined;
      const end = at + ANSWER_BYTES + bytes.readUInt32BE(at + 4);
      if (bytes.length < end) return undefined;
      const id = bytes.readUInt32BE(at);
      const answered = this.#waiting.get(id);
      this.#waiting.delete(id);
      answered?.(bytes.subarray(at + ANSWER_BYTES, end));
      return end;
    });
    this.#socket.on('data', take);
  }

  static async open(port: number): Promise<Link> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await new Promise((resolve) => socket.once('connect', resolve));
    return new Link(socket);
  }

  put(key: Buffer, value: readonly Buffer[], answered: Answered): void {
    this.#ask(1, key, Buffer.concat(value), answered);
  }

  get(key: Buffer, answered: Answered): void {
    this.#ask(0, key, NO_BYTES, answered);
  }

  #ask(writes: number, key: Buffer, value: Buffer, answered: Answered): void {
    const id = ++this.#lastId;
    this.#waiting.set(id, answered);
    const head = Buffer.allocUnsafe(ASK_BYTES + key.length);
    head.writeUInt32BE(id, 0);
    head[4] = writes;
    head.writeUInt32BE(key.length, 5);
    head.writeUInt32BE(value.length, 9);
    key.copy(head, ASK_BYTES);
    this.#send(head, value);
  }
}

/** The back's end: tells of each request, and afterwards of the end of what came together. */
export function serve(socket: Socket, asked: (one: Asked) => void, turnEnded: () => void) {
  const send = senderOf(socket);
  const take = cutter((bytes, at) => {
    if (bytes.length < at + ASK_BYTES) return undefined;
    const valueAt = at + ASK_BYTES + bytes.readUInt32BE(at + 5);
    const end = valueAt + bytes.readUInt32BE(at + 9);
    if (bytes.length < end) return undefined;
    const [id, writes] = [bytes.readUInt32BE(at), bytes[at + 4] === 1];
    const key = bytes.subarray(at + ASK_BYTES, valueAt);
    asked({ id, writes, key, value: bytes.subarray(valueAt, end) });
    return end;
  });
  socket.on('data', (chunk) => {
    take(chunk);
    turnEnded();
  });
  return (id: number, value: Buffer) => {
    const head = Buffer.allocUnsafe(ANSWER_BYTES);
    head.writeUInt32BE(id, 0);
    head.writeUInt32BE(value.length, 4);
    send(head, value);
  };
}

/** Takes messages off what has arrived: `next` returns where one ended, or that none is whole. */
function cutter(next: (bytes: Buffer, at: number) => number | undefined): (chunk: Buffer) => void {
  let held: Buffer = NO_BYTES;
  return (chunk) => {
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    let at = 0;
    for (let end = next(bytes, 0); end !== undefined; end = next(bytes, end)) at = end;
    held = bytes.subarray(at);
  };
}

function senderOf(socket: Socket): (head: Buffer, body: Buffer) => void {
  let corked = false;
  return (head, body) => {
    if (!corked) {
      corked = true;
      socket.cork();
      setImmediate(() => {
        corked = false;
        socket.uncork();
      });
    }
    socket.write(head);
    if (body.length > 0) socket.write(body);
  };
}
