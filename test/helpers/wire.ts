/** A peer that sends and receives bytes as they are, and knows no rule of the protocol. */
import { connect, type Socket } from 'node:net';
import { decodeError } from '../../lib/protocol/error-reply.ts';
import type { FieldEntry } from '../../lib/protocol/fields.ts';
import { encodeRequest, type Frame, FrameDecoder } from '../../lib/protocol/frame.ts';
import { FRAME_BYTES_CEILING } from '../../lib/protocol/limits.ts';

export class Wire {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const ended = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('end', ended);
    socket.on('close', ended);
    socket.on('error', ended);
  }

  /** Half-open: the other side's end is seen, ours is said by {@link end}. */
  static async open(port: number, host = '127.0.0.1'): Promise<Wire> {
    const socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Wire(socket);
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes);
  }

  /** Sends and waits until the bytes have left, so that they come in a packet of their own. */
  async sendAlone(bytes: Buffer | string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.socket.write(bytes, () => setImmediate(resolve));
    });
  }

  request(
    opcode: number,
    id: number,
    fields: readonly FieldEntry[] = [],
    body: Buffer | string = '',
  ): void {
    this.send(frameOf(opcode, id, fields, body));
  }

  end(): void {
    this.socket.end();
  }

  close(): void {
    this.socket.destroy();
  }

  /** The next line without its LF. Throws at the end of input. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#received.indexOf(0x0a);
      if (end >= 0) return this.#take(end + 1).toString('utf8', 0, end);
      await this.#more();
    }
  }

  async frame(): Promise<Frame> {
    for (;;) {
      if (this.#received.length >= 4) {
        const bytes = 4 + this.#received.readUInt32BE(0);
        if (this.#received.length >= bytes) return decodeOne(this.#take(bytes));
      }
      await this.#more();
    }
  }

  async frames(count: number): Promise<Frame[]> {
    const frames: Frame[] = [];
    while (frames.length < count) frames.push(await this.frame());
    return frames;
  }

  /** All that comes until the other side ends. */
  async rest(): Promise<Buffer> {
    while (!this.#ended) await this.#wait();
    return this.#take(this.#received.length);
  }

  #take(bytes: number): Buffer {
    const taken = this.#received.subarray(0, bytes);
    this.#received = this.#received.subarray(bytes);
    return taken;
  }

  async #more(): Promise<void> {
    if (this.#ended) throw new Error(`the connection ended after: ${this.#received}`);
    await this.#wait();
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** Connects, sends, ends its output, and gives back all that is answered. */
export async function ask(port: number, bytes: Buffer | string, host?: string): Promise<string> {
  const wire = await Wire.open(port, host);
  wire.send(bytes);
  wire.end();
  const answer = await wire.rest();
  wire.close();
  return answer.toString('utf8');
}

export function frameOf(
  opcode: number,
  id: number,
  fields: readonly FieldEntry[] = [],
  body: Buffer | string = '',
): Buffer {
  return Buffer.concat(encodeRequest(opcode, id, fields, Buffer.from(body)));
}

/** All frames in some bytes; throws if they end inside one. */
export function framesIn(bytes: Buffer): Frame[] {
  const decoder = new FrameDecoder(FRAME_BYTES_CEILING);
  decoder.push(bytes);
  const frames: Frame[] = [];
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  if (decoder.bufferedBytes > 0) throw new Error('the bytes end inside a frame');
  return frames;
}

function decodeOne(bytes: Buffer): Frame {
  return framesIn(bytes)[0] as Frame;
}

/** `OK`, or the code of the error that a reply carries. */
export function statusOf(frame: Frame): string {
  return frame.code === 0 ? 'OK' : decodeError(frame).code;
}

/** Asks again and again until the answer is true. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 5));
}
