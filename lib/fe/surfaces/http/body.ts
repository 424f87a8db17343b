/** Bodies of requests and replies, within the budget of the process. */
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { refuseNobody } from '../../../access.ts';
import { EncServerError } from '../../../errors.ts';
import type { Budget } from '../../../net/budget.ts';
import { boundSending } from '../../../net/http-door.ts';
import { checkAnswerable } from '../../../net/http-refusals.ts';
import { type Arrival, roomToArrive } from '../../../net/receiving-room.ts';
import type { RequestContext } from '../../../net/request.ts';
import { ByteQueue } from '../../../protocol/byte-queue.ts';
import { type Limits, SMALL_REQUEST_BYTES_MAX } from '../../../protocol/limits.ts';

const NO_BYTES = Buffer.alloc(0);
const SLICE_BYTES = 256 * 1024;

/**
 * Reads a whole body. Room for a large one is reserved before it is read (and before `100
 * Continue`); a small one has room once it is here, so that those that never come take none from
 * those that do. Without a length a body is small until it is more. The room is the request's until
 * it is answered; nothing is held for callers without identity.
 *
 * @throws EncServerError `UNAUTHENTICATED`, `INVALID_FIELD`, `RECORD_TOO_LARGE`, `OVERLOADED`,
 *   `CANCELLED`
 */
export async function readBody(
  { headers, raw }: FastifyRequest,
  reply: FastifyReply,
  budget: Budget,
  bytesMax: number,
  context: RequestContext,
): Promise<Buffer> {
  refuseNobody(context.caller);
  const transfer = headers['transfer-encoding'];
  const chunked = transfer !== undefined;
  if (chunked && transfer.toLowerCase() !== 'chunked') throw codedTransfer();
  const lengthBytes = chunked ? undefined : Number(headers['content-length'] ?? 0);
  if (lengthBytes === 0) return NO_BYTES;
  if (lengthBytes !== undefined && lengthBytes > bytesMax) throw tooLarge(bytesMax);
  const room = new BodyRoom(budget, lengthBytes ?? bytesMax, context);
  try {
    if (lengthBytes !== undefined && lengthBytes > SMALL_REQUEST_BYTES_MAX) {
      await room.reserve();
      // If the connection closed meanwhile, the body would never end.
      checkAnswerable(raw);
    }
    // HTTP/1.0 has no interim responses (RFC 9110 section 15.2).
    if (headers.expect !== undefined && raw.httpVersionMinor > 0) reply.raw.writeContinue();
    const body = await collect(raw, bytesMax, room);
    await room.fill(body.length);
    checkAnswerable(raw);
    context.arrived();
    return body;
  } finally {
    room.end();
    // The connection may have closed meanwhile, which nobody tells again.
    if (reply.raw.destroyed) context.giveBack();
  }
}

/** The room for a body that is being read. */
class BodyRoom {
  readonly #budget: Budget;
  readonly #bytesMax: number;
  readonly #context: RequestContext;
  #arrival: Arrival | undefined;
  #isOver = false;

  /** @param bytesMax the most that it may have */
  constructor(budget: Budget, bytesMax: number, context: RequestContext) {
    this.#budget = budget;
    this.#bytesMax = bytesMax;
    this.#context = context;
  }

  /** Waits for room for a large one. Rejects with `OVERLOADED`, `CANCELLED`. */
  async reserve(): Promise<void> {
    const arrival = await roomToArrive(this.#budget, this.#bytesMax, this.#context);
    this.#arrival = arrival;
    this.#context.room = arrival.room;
    if (!this.#isOver) return;
    arrival.end();
    this.#context.giveBack();
  }

  /** Whether there is room for so many bytes to be read. */
  isEnough(bytes: number): boolean {
    return this.#arrival !== undefined || bytes <= SMALL_REQUEST_BYTES_MAX;
  }

  /** The body is here, with so many bytes. Rejects with `OVERLOADED`, `CANCELLED`. */
  async fill(bytes: number): Promise<void> {
    const part = this.#arrival?.room.budget ?? this.#budget.partFor(bytes);
    if (this.#arrival === undefined) await part.reserved(bytes, this.#context);
    else part.release(this.#arrival.room.bytes - bytes);
    this.#context.room = { budget: part, bytes };
  }

  /** Nothing more of the body is read. */
  end(): void {
    this.#isOver = true;
    this.#arrival?.end();
  }
}

/** A hook: once there is an answer, what the request brought is needed no longer. */
export function giveBackRoom(
  request: FastifyRequest,
  _reply: FastifyReply,
  payload: unknown,
  done: (error: null, payload?: unknown) => void,
): void {
  request.context?.giveBack();
  done(null, payload);
}

/** A hook: Content-Type does not matter here, so Fastify must not judge its form. */
export function ignoreType(
  { raw }: FastifyRequest,
  _reply: FastifyReply,
  done: (error?: Error) => void,
): void {
  raw.headers['content-type'] = undefined;
  done();
}

/**
 * A hook that sends large answers in slices, each of which the receiver has to take within
 * `sendTimeoutMs`. Of an answer that is handed over as a whole, TLS tells only when all of it is
 * out, so that a slow receiver would seem to take nothing.
 */
export function sliceLarge(limits: Limits) {
  return (
    { method }: FastifyRequest,
    reply: FastifyReply,
    payload: unknown,
    done: (error: null, payload?: unknown) => void,
  ): void => {
    const isStream = payload instanceof Readable;
    const isLarge = isWhole(payload) && payload.length > SLICE_BYTES;
    if (method !== 'HEAD' && (isStream || isLarge)) boundSending(reply.raw, limits);
    if (method === 'HEAD' || !isLarge) {
      done(null, payload);
      return;
    }
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    reply.header('content-length', bytes.length);
    done(null, Readable.from(slicesOf(bytes), { objectMode: false, highWaterMark: SLICE_BYTES }));
  };
}

function isWhole(payload: unknown): payload is string | Buffer {
  return typeof payload === 'string' || Buffer.isBuffer(payload);
}

function* slicesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    yield bytes.subarray(at, at + SLICE_BYTES);
  }
}

/** Counts the bytes of a reply until it is out. */
export function countReply(reply: FastifyReply, budget: Budget, bytes: number): void {
  budget.count(bytes);
  // The connection may have closed meanwhile, which nobody tells again.
  if (reply.raw.destroyed) budget.release(bytes);
  else reply.raw.once('close', () => budget.release(bytes));
}

function collect(stream: NodeJS.ReadableStream, bytesMax: number, room: BodyRoom): Promise<Buffer> {
  // Not as they come: a Buffer for each chunk of one byte would take hundreds of times the body.
  const queue = new ByteQueue();
  return new Promise((resolve, reject) => {
    const refuse = (error: unknown) => {
      // Node reads and drops the rest, within the time limit of a request.
      stream.off('data', onData);
      stream.resume();
      reject(error);
    };
    const onData = (chunk: Buffer) => {
      queue.push(chunk);
      if (queue.bytes > bytesMax) {
        refuse(tooLarge(bytesMax));
        return;
      }
      if (room.isEnough(queue.bytes)) return;
      stream.pause();
      room.reserve().then(() => stream.resume(), refuse);
    };
    let ended = false;
    // `close` follows `end` as well, and making an error would cost more than everything else.
    const cutShort = () => {
      if (!ended) reject(new EncServerError('CANCELLED', 'the body was cut short'));
    };
    stream.on('data', onData);
    stream.on('end', () => {
      ended = true;
      resolve(queue.take(queue.bytes));
    });
    stream.on('error', cutShort);
    stream.on('close', cutShort);
  });
}

/** We do not decode it, and storing it encoded would misrepresent the record. */
function codedTransfer(): EncServerError {
  const hint = 'the only Transfer-Encoding that is taken is chunked';
  return new EncServerError('INVALID_FIELD', 'the body has a coding', { hint });
}

function tooLarge(bytesMax: number): EncServerError {
  return new EncServerError('RECORD_TOO_LARGE', `the body has more than ${bytesMax} bytes`);
}
