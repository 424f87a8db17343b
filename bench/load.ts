/**
 * The load generator, in a process of its own: `node load.js PORT CALLERS SECONDS BYTES`. Each
 * caller has a connection and one request under way. It stores under fresh IDs, then retrieves what
 * it stored, and prints operations per second and processor time as JSON.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { bytesField, type FieldEntry, Fields } from '../lib/protocol/fields.ts';
import { encodeRequest, FrameDecoder } from '../lib/protocol/frame.ts';
import { KEY_BYTES } from '../lib/protocol/limits.ts';
import { FIELD, OPCODE } from '../lib/protocol/messages.ts';

interface StoredRecord {
  readonly id: Buffer;
  readonly key: Buffer;
}

type Step = (socket: Socket) => void;

const FRAME_BYTES_MAX = 16 * 1024 * 1024 - 1;
const ID_BYTES = 16;
const [port, callers, seconds, bytes] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
];
const record = randomBytes(bytes);
const run = randomBytes(6);
const stored: StoredRecord[] = [];
let count = 0;

function freshId(): Buffer {
  const id = Buffer.alloc(ID_BYTES);
  run.copy(id);
  // Scattered, so that no cache sees an order.
  id.writeUInt32BE(Math.imul(++count, 2_654_435_761) >>> 0, 6);
  id.writeUInt32BE(count, 10);
  return id;
}

/** One caller: a connection, one request under way, until the time is over. */
class Caller {
  readonly socket: Socket;
  readonly #decoder = new FrameDecoder(FRAME_BYTES_MAX);
  done = 0;
  #next: Step | undefined;
  #answered: ((fields: Fields, body: Buffer) => void) | undefined;

  constructor(to: number) {
    this.socket = connect({ host: '127.0.0.1', port: to, noDelay: true });
    this.socket.on('data', (chunk) => {
      this.#decoder.push(chunk);
      const frame = this.#decoder.next();
      if (frame === undefined) return;
      if (frame.code !== 0) throw new Error(frame.body.toString());
      this.done++;
      this.#answered?.(Fields.decode(frame.fieldBytes), frame.body);
      this.#next?.(this.socket);
    });
  }

  async run(step: Step, answered: (fields: Fields, body: Buffer) => void): Promise<void> {
    this.done = 0;
    this.#answered = answered;
    this.#next = step;
    step(this.socket);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    this.#next = undefined;
  }
}

/**
 * The offsets of ID and key in a frame that begins with those fields: docs/PROTOCOL.md, "Frames".
 */
const ID_AT = 17;
const KEY_AT = ID_AT + ID_BYTES + 3;

/**
 * A frame that is made once and sent often, each time with another ID: the generator must cost
 * little.
 */
function template(opcode: number, fields: FieldEntry[], body?: Buffer): Buffer[] {
  return encodeRequest(opcode, 1, [bytesField(FIELD.ID, Buffer.alloc(ID_BYTES)), ...fields], body);
}

function send(socket: Socket, frame: readonly Buffer[], id: Buffer, key?: Buffer): void {
  const head = frame[0] as Buffer;
  id.copy(head, ID_AT);
  key?.copy(head, KEY_AT);
  for (const buffer of frame) socket.write(buffer);
}

async function phase(
  all: Caller[],
  make: (caller: Caller) => [Step, (f: Fields, b: Buffer) => void],
) {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await Promise.all(all.map((caller) => caller.run(...make(caller))));
  const took = (performance.now() - startedAt) / 1000;
  const used = process.cpuUsage(cpu);
  const done = all.reduce((sum, caller) => sum + caller.done, 0);
  // Requests still under way must not fall into the next phase.
  await new Promise((resolve) => setTimeout(resolve, 300));
  return { perSecond: done / took, cpuMicros: (used.user + used.system) / done };
}

const all = Array.from({ length: callers }, () => new Caller(port));
await Promise.all(
  all.map((caller) => new Promise((resolve) => caller.socket.on('connect', resolve))),
);
const store = await phase(all, () => {
  const frame = template(OPCODE.STORE, [], record);
  let id = freshId();
  return [
    (socket) => {
      id = freshId();
      send(socket, frame, id);
    },
    (fields) => stored.push({ id, key: Buffer.from(fields.requireBytes(FIELD.KEY)) }),
  ];
});
let at = 0;
const retrieve = await phase(all, () => {
  const frame = template(OPCODE.RETRIEVE, [bytesField(FIELD.KEY, Buffer.alloc(KEY_BYTES))]);
  return [
    (socket) => {
      const entry = stored[(Math.imul(++at, 2_654_435_761) >>> 0) % stored.length];
      const { id, key } = entry as StoredRecord;
      send(socket, frame, id, key);
    },
    (_fields, body) => {
      if (body.length !== bytes) throw new Error('a record came back with another length');
    },
  ];
});
process.stdout.write(`${JSON.stringify({ store, retrieve })}\n`);
for (const caller of all) caller.socket.destroy();
