/** Bodies of requests and replies, within the budget of the process. */
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { refuseNobody } from '../../../access.ts';
import { EncServerError } from '../../../errors.ts';
import type { Budget } from '../../../net/budget.ts';
import { boundSending } from '../../../net/http-door.ts';
import { checkAnswerable } from '../../../net/http-refusals.ts';
import type { RequestContext } from '../../../net/request.ts';
import type { Limits } from '../../../protocol/limits.ts';

const NO_BYTES = Buffer.alloc(0);
const SLICE_BYTES = 256 * 1024;

/**
 * Reads a whole body. Its room is reserved before any of it is read (and before `100 Continue`),
 * and given back when the reply is out; nothing is held for callers without identity.
 *
 * @throws EncServerError `UNAUTHENTICATED`, `INVALID_FIELD`, `RECORD_TOO_LARGE`, `OVERLOADED`,
 *   `CANCELLED`
 */
export async function readBody(
  request: FastifyRequest,
  reply: FastifyReply,
  budget: Budget,
  bytesMax: number,
  context: RequestContext,
): Promise<Buffer> {
  refuseNobody(context.caller);
  const { headers } = request;
  const transfer = headers['transfer-encoding'];
  const chunked = transfer !== undefined;
  if (chunked && transfer.toLowerCase() !== 'chunked') throw codedTransfer();
  const lengthBytes = chunked ? bytesMax : Number(headers['content-length'] ?? 0);
  if (lengthBytes > bytesMax) throw tooLarge(bytesMax);
  if (lengthBytes === 0) return NO_BYTES;
  await budget.reserved(lengthBytes, context);
  releaseWhenSent(reply, budget, lengthBytes);
  // HTTP/1.0 has no interim responses (RFC 9110 section 15.2).
  if (headers.expect !== undefined && request.raw.httpVersionMinor > 0) reply.raw.writeContinue();
  const body = await collect(request.raw, bytesMax);
  checkAnswerable(request.raw);
  return body;
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
  releaseWhenSent(reply, budget, bytes);
}

function releaseWhenSent(reply: FastifyReply, budget: Budget, bytes: number): void {
  // The connection may have closed while room was waited for.
  if (reply.raw.destroyed) budget.release(bytes);
  else reply.raw.once('close', () => budget.release(bytes));
}

function collect(stream: NodeJS.ReadableStream, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        // Node reads and drops the rest, within the time limit of a request.
        stream.off('data', onData);
        stream.resume();
        reject(tooLarge(bytesMax));
        return;
      }
      chunks.push(chunk);
    };
    let ended = false;
    // `close` follows `end` as well, and making an error would cost more than everything else.
    const cutShort = () => {
      if (!ended) reject(new EncServerError('CANCELLED', 'the body was cut short'));
    };
    stream.on('data', onData);
    stream.on('end', () => {
      ended = true;
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, bytes));
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
