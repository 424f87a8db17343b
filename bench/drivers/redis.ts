/** Redis (RESP 2): SET, GET and DEL of the record as it is; answers come in order. */
import type { Socket } from 'node:net';
import type { Connection, Driver, Item, Target } from './driver.ts';
import { open } from './frames.ts';

const LINE_END = Buffer.from('\r\n');
const BULK = 0x24;

class RedisConnection implements Connection {
  readonly #socket: Socket;
  readonly #waiting: ((bytes: number) => void)[] = [];
  #received: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      for (let bytes = this.#next(); bytes !== undefined; bytes = this.#next()) {
        this.#waiting.shift()?.(bytes);
      }
    });
  }

  async store({ id }: Item, record: Buffer): Promise<void> {
    await this.#ask([Buffer.from('SET'), id, record]);
  }

  async retrieve({ id }: Item): Promise<number> {
    return await this.#ask([Buffer.from('GET'), id]);
  }

  async remove({ id }: Item): Promise<void> {
    await this.#ask([Buffer.from('DEL'), id]);
  }

  async close(): Promise<void> {
    this.#socket.destroy();
  }

  #ask(words: readonly Buffer[]): Promise<number> {
    const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
    for (const word of words) parts.push(Buffer.from(`$${word.length}\r\n`), word, LINE_END);
    this.#socket.write(Buffer.concat(parts));
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The size of the next answer's value; undefined until it is complete. */
  #next(): number | undefined {
    const end = this.#received.indexOf(LINE_END);
    if (end < 0) return undefined;
    const line = this.#received.toString('latin1', 0, end);
    if (line.startsWith('-')) throw new Error(line);
    const bytes = this.#received[0] === BULK ? Math.max(0, Number(line.slice(1))) : 0;
    const isBulk = this.#received[0] === BULK && !line.startsWith('$-1');
    const total = end + 2 + (isBulk ? bytes + 2 : 0);
    if (this.#received.length < total) return undefined;
    this.#received = this.#received.subarray(total);
    return bytes;
  }
}

export class RedisDriver implements Driver {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async connect(): Promise<Connection> {
    return new RedisConnection(await open(this.#target));
  }
}
