/**
 * The load generator, a process of its own: `node load.js PORT CALLERS SECONDS BYTES`.
 * Each caller has a connection and one request under way. It stores under fresh IDs, then
 * retrieves what it stored, and prints operations per second and processor time as JSON.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { bytesField, Fields } from '../lib/protocol/fields.ts';
import { encodeRequest, FrameDecoder } from '../lib/protocol/frame.ts';
import { FIELD, OPCODE } from '../lib/protocol/messages.ts';

interface StoredRecord {
  readonly id: Buffer;
  readonly key: Buffer;
}

type Step = (socket: Socket) => void;

const FRAME_BYTES_MAX = 16 * 1024 * 1024 - 1;
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
  const id = Buffer.alloc(16);
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

function send(socket: Socket, opcode: number, entry: Partial<StoredRecord>, body?: Buffer): void {
  const fields = [];
  if (entry.id !== undefined) fields.push(bytesField(FIELD.ID, entry.id));
  if (entry.key !== undefined) fields.push(bytesField(FIELD.KEY, entry.key));
  for (const buffer of encodeRequest(opcode, 1, fields, body)) socket.write(buffer);
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
  // What is still under way must not fall into the next phase.
  await new Promise((resolve) => setTimeout(resolve, 300));
  return { perSecond: done / took, cpuMicros: (used.user + used.system) / done };
}

const all = Array.from({ length: callers }, () => new Caller(port));
await Promise.all(
  all.map((caller) => new Promise((resolve) => caller.socket.on('connect', resolve))),
);
const store = await phase(all, () => {
  let id = freshId();
  return [
    (socket) => {
      id = freshId();
      send(socket, OPCODE.STORE, { id }, record);
    },
    (fields) => stored.push({ id, key: Buffer.from(fields.requireBytes(FIELD.KEY)) }),
  ];
});
let at = 0;
const retrieve = await phase(all, () => [
  (socket) => {
    const entry = stored[Math.imul(++at, 2_654_435_761 >>> 0) % stored.length];
    send(socket, OPCODE.RETRIEVE, entry ?? (stored[at % stored.length] as StoredRecord));
  },
  (_fields, body) => {
    if (body.length !== bytes) throw new Error('a record came back with another length');
  },
]);
process.stdout.write(`${JSON.stringify({ store, retrieve })}\n`);
for (const caller of all) caller.socket.destroy();
