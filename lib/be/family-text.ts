/**
 * The text lines of the family's older back ends (Go v1, Python). They serve one connection at a
 * time, drop what is sent ahead, and exit altogether when a connection is reset: so requests are
 * sent one after the other, each on a connection of its own, which is read to its end and then
 * closed.
 */
import { connect, type Socket } from 'node:net';
import { EncServerError } from '../errors.ts';
import type { Address } from '../net/lane.ts';
import type { FamilyDialect, FamilyLink } from './family-back-end.ts';

/** Python takes the result of one `recv` of this size as a message, and so does its client. */
const PYTHON_MESSAGE_BYTES = 1024;
/** The verb, two spaces, a store key in digits, a line feed; a reply is shorter. */
const LINE_OVERHEAD_BYTES = 'STORE'.length + 3 + 2 * 27;
/** A document of MongoDB, 16 MB, less a little for its other members. */
const DOCUMENT_BYTES = 15_900_000;
const REPLY_BYTES_MAX = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;
/** Their answer for an unknown token. */
const NOT_THERE =
  /^ERROR:? (?:mongo: no documents in result|'NoneType' object is not subscriptable)/;

export class FamilyText implements FamilyLink {
  readonly valueBytesMax: number;
  readonly #address: Address;
  /** The last request; they run one at a time. */
  #last: Promise<unknown> = Promise.resolve();

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
    await this.#inTurn(timeoutMs, (leftMs) => exchange(this.#address, undefined, false, leftMs));
  }

  close(): void {
    // No connection outlives its request.
  }

  #ask(line: string, writes: boolean, timeoutMs: number): Promise<string> {
    return this.#inTurn(timeoutMs, (leftMs) => exchange(this.#address, line, writes, leftMs));
  }

  /** The timeout includes the wait for its turn. */
  async #inTurn<T>(timeoutMs: number, work: (leftMs: number) => Promise<T>): Promise<T> {
    const deadlineMs = Date.now() + timeoutMs;
    const turn = this.#last.then(async () => {
      const leftMs = deadlineMs - Date.now();
      if (leftMs <= 0) throw new EncServerError('TIMEOUT', 'the back end has too much to do');
      return await work(leftMs);
    });
    this.#last = turn.catch(() => undefined);
    return await turn;
  }
}

/** One line there and one back; without a line, only checks whether somebody listens. */
function exchange(
  { host, port }: Address,
  line: string | undefined,
  writes: boolean,
  timeoutMs: number,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host, port });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let isSent = false;
    const fail = (words: string) => {
      clearTimeout(timer);
      socket.destroy();
      const code = isSent && writes ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE';
      reject(new EncServerError(code, `the back end: ${words}`));
    };
    const timer = setTimeout(() => fail('no answer in time'), timeoutMs);
    socket.once('error', (error: NodeJS.ErrnoException) =>
      fail(error.code ?? 'the connection broke'),
    );
    socket.once('connect', () => {
      if (line === undefined) {
        end('');
        return;
      }
      isSent = true;
      socket.write(line);
    });
    const end = (reply: string) => {
      clearTimeout(timer);
      // The other side sees an end, never a reset, and is free for the next request after this
      // closes.
      socket.removeAllListeners('end').removeAllListeners('data');
      socket.once('close', () => resolve(reply));
      socket.resume();
      socket.end();
    };
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (chunk.at(-1) === LINE_FEED) end(Buffer.concat(chunks).toString('latin1').trim());
      else if (bytes > REPLY_BYTES_MAX) fail('the reply has no end');
    });
    socket.once('end', () => fail('it closed the connection'));
  });
}

/** Their message is about their store; it quotes nothing of ours. */
function refused(reply: string, writes: boolean): EncServerError {
  const code = writes ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE';
  return new EncServerError(code, `the back end says: ${reply.slice(0, 200)}`);
}
