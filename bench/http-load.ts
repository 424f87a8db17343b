/** Closed-loop callers over HTTP and over frames: one request under way on each connection. */
import { connect, type Socket } from 'node:net';
import { type FieldEntry, Fields } from '../lib/protocol/fields.ts';
import { encodeRequest, FrameDecoder } from '../lib/protocol/frame.ts';

/** What one caller does: it sends requests, and is shown each answer. */
export interface Talk {
  next(): Buffer | Buffer[];
  answered(answer: Answer): void;
}

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly fields?: Fields;
}

/** Extracts complete answers from what arrives. */
type Reader = (chunk: Buffer, found: (answer: Answer) => void) => void;

const HEAD_END = Buffer.from('\r\n\r\n');
const FRAME_BYTES_MAX = 16 * 1024 * 1024 - 1;

/** One answer at a time, each with a Content-Length. */
export function httpReader(): Reader {
  let held: Buffer = Buffer.alloc(0);
  return (chunk, found) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const headEnd = held.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = held.toString('latin1', 0, headEnd);
    const bodyAt = headEnd + HEAD_END.length;
    const end = bodyAt + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (held.length < end) return;
    const body = held.subarray(bodyAt, end);
    held = Buffer.alloc(0);
    found({ status: Number(head.slice(9, 12)), body });
  };
}

export function frameReader(): Reader {
  const decoder = new FrameDecoder(FRAME_BYTES_MAX);
  return (chunk, found) => {
    decoder.push(chunk);
    const frame = decoder.next();
    if (frame === undefined) return;
    const status = frame.code === 0 ? 200 : 500;
    found({ status, body: frame.body, fields: Fields.decode(frame.fieldBytes) });
  };
}

export function httpRequest(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body: Buffer = Buffer.alloc(0),
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (body.length > 0) lines.push(`Content-Length: ${body.length}\r\n`);
  const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${lines.join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

export function frameRequest(opcode: number, fields: FieldEntry[], body?: Buffer): Buffer[] {
  return encodeRequest(opcode, 1, fields, body);
}

/** Requests per second, by `connections` callers. Throws if an answer is not a success. */
export async function measure(
  port: number,
  connections: number,
  seconds: number,
  makeReader: () => Reader,
  makeTalk: () => Talk,
): Promise<number> {
  let done = 0;
  let running = true;
  const failures: string[] = [];
  const start = (socket: Socket) => {
    const talk = makeTalk();
    const read = makeReader();
    const send = () => {
      const request = talk.next();
      for (const part of Array.isArray(request) ? request : [request]) socket.write(part);
    };
    socket.on('data', (chunk) =>
      read(chunk, (answer) => {
        if (answer.status >= 300) failures.push(`${answer.status} ${answer.body}`);
        talk.answered(answer);
        done++;
        if (running && failures.length === 0) send();
      }),
    );
    send();
  };
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)));
  const startedAt = performance.now();
  for (const socket of sockets) start(socket);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  running = false;
  const perSecond = (done * 1_000) / (performance.now() - startedAt);
  // Requests still under way must not fall into the next measurement.
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const socket of sockets) socket.destroy();
  if (failures.length > 0) throw new Error(failures[0]);
  return perSecond;
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}
