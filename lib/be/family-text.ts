/**
 * The text lines of the family's older back ends (Go v1, Python). They serve one connection at a
 * time, drop what is sent ahead, and exit altogether when a connection is reset: so requests are
 * sent one after the other, each on a connection of its own, which is read to its end and then
 * closed.
 */
import { connect, type Socket } from 'node:net';
import { EncServerError } from '../errors.ts';
import type { Address } from '../net/lane.ts';
import { RECORD_KEY_BYTES } from '../store/store.ts';
import type { FamilyDialect, FamilyLink } from './family-back-end.ts';

/** Python takes the result of one `recv` of this size as a message, and so does its client. */
const PYTHON_MESSAGE_BYTES = 1024;
/** The verb, two spaces, a store key in digits, a line feed; a reply is shorter. */
const LINE_OVERHEAD_BYTES = 'STORE'.length + 3 + 2 * RECORD_KEY_BYTES;
/** A document of MongoDB, 16 MB, less a little for its other members. */
const DOCUMENT_BYTES = 15_900_000;
const REPLY_BYTES_MAX = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;
/** How long a connection may take to end after its caller was told. */
const OWED_MS_MAX = 60_000;
/** The same once our server closes, whose supervisor waits for it. */
const CLOSE_MS_MAX = 5_000;
/** Their answer for an unknown token. */
const NOT_THERE =
  /^ERROR:? (?:mongo: no documents in result|'NoneType' object is not subscriptable)/;

export class FamilyText implements FamilyLink {
  readonly valueBytesMax: number;
  readonly #address: Address;
  /** The last request, or its answer still owed; they run one at a time. */
  #last: Promise<void> = Promise.resolve();
  #current: Exchange | undefined;

  constructor(address: Address, dialect: Exclude<FamilyDialect, 'go-v2'>) {
    this.#address = address;
    const messageBytes = dialect === 'python' ? PYTHON_MESSAGE_BYTES : DOCUMENT_BYTES;
    this.valueBytesMax = Math.floor((messageBytes - LINE_OVERHEAD_BYTES) / 2);
  }

  async store(id: string, data: string, timeoutMs: number): Promise<void> {
    const reply = await this.#ask(`STORE ${id} ${data}\n`, true, timeoutMs);
    if (reply.startsWith('ERROR')) throw refused(reply, true);
  }

  async retrieve(id: string, timeoutMs: number): Promise<string | undefined> {
    const reply = await this.#ask(`RETRIEVE ${id}\n`, false, timeoutMs);
    if (NOT_THERE.test(reply)) return undefined;
    if (reply.startsWith('ERROR')) throw refused(reply, false);
    return reply;
  }

  async delete(id: string, timeoutMs: number): Promise<void> {
    const reply = await this.#ask(`DELETE ${id}\n`, true, timeoutMs);
    if (reply.startsWith('ERROR')) throw refused(reply, true);
  }

  async probe(timeoutMs: number): Promise<void> {
    await this.#ask(undefined, false, timeoutMs);
  }

  /** No connection outlives its request; a reply that is owed has a little longer. */
  close(): void {
    this.#current?.endWithin(CLOSE_MS_MAX);
  }

  /**
   * One line there and one back; without a line, only checks whether somebody listens. The
   * timeout includes the wait for its turn.
   */
  #ask(line: string | undefined, writes: boolean, timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      let giveUp = () => reject(new EncServerError('TIMEOUT', 'the back end has too much to do'));
      const timer = setTimeout(() => {
        isLate = true;
        giveUp();
      }, timeoutMs);
      const settled = {
        resolve: (reply: string) => {
          clearTimeout(timer);
          resolve(reply);
        },
        reject: (error: EncServerError) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#last = this.#last.then(async () => {
        if (isLate) return;
        const exchange = new Exchange(this.#address, line, writes, settled);
        giveUp = () => exchange.giveUp();
        this.#current = exchange;
        await exchange.closed;
        this.#current = undefined;
      });
    });
  }
}

interface Settled {
  readonly resolve: (reply: string) => void;
  readonly reject: (error: EncServerError) => void;
}

/** One connection. Its caller is told once; anything later is ignored. */
class Exchange {
  /** Resolves when the back end is free for the next. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #writes: boolean;
  readonly #settled: Settled;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #isSent = false;
  #bound: NodeJS.Timeout | undefined;

  constructor({ host, port }: Address, line: string | undefined, writes: boolean, to: Settled) {
    this.#writes = writes;
    this.#settled = to;
    const socket = connect({ host, port });
    this.#socket = socket;
    socket.once('connect', () => {
      if (line === undefined) {
        socket.end();
        return;
      }
      this.#isSent = true;
      socket.write(line);
    });
    socket.on('data', (chunk) => this.#take(chunk));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      this.#fail(error.code ?? 'the connection broke'),
    );
    this.closed = new Promise((resolve) => {
      socket.once('close', (hasFailed) => {
        if (line === undefined && !hasFailed) to.resolve('');
        else this.#fail('it closed the connection');
        clearTimeout(this.#bound);
        resolve();
      });
    });
  }

  /**
   * To be called when nobody waits any more. The back end answers all the same, and Go v1 exits
   * if it cannot deliver an answer; so it is received and dropped.
   */
  giveUp(): void {
    this.#fail('no answer in time');
    if (!this.#isSent) this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= REPLY_BYTES_MAX) this.#chunks.push(chunk);
    else this.#fail('the reply has no end');
    if (chunk.at(-1) !== LINE_FEED) return;
    this.#settled.resolve(Buffer.concat(this.#chunks).toString('latin1').trim());
    // The other side sees an end, never a reset.
    this.#socket.end();
    this.#endInTime();
  }

  #fail(words: string): void {
    this.#chunks = [];
    const code = this.#isSent && this.#writes ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE';
    this.#settled.reject(new EncServerError(code, `the back end: ${words}`));
    this.#endInTime();
  }

  #endInTime(): void {
    if (this.#bound === undefined) this.endWithin(OWED_MS_MAX);
  }

  endWithin(timeoutMs: number): void {
    clearTimeout(this.#bound);
    this.#bound = setTimeout(() => this.#socket.destroy(), timeoutMs);
  }
}

/** Their message is about their store; it quotes nothing of ours. */
function refused(reply: string, writes: boolean): EncServerError {
  const code = writes ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE';
  return new EncServerError(code, `the back end says: ${reply.slice(0, 200)}`);
}
