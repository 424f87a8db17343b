/**
 * The first process of a bare pair, `node front.js PORT`, with the port of the second: two
 * processes that do only what none of this shape can leave out. It reads a frame, makes a pseudonym,
 * seals by AES-256-GCM and sends both on. No key is derived, no limit kept, nothing checked, counted
 * or tried again. It answers STORE and RETRIEVE alone.
 */
import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import { bytesField, type FieldEntry, Fields } from '../../lib/protocol/fields.ts';
import { encodeReply, type Frame, FrameDecoder } from '../../lib/protocol/frame.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { openBare, sealBare } from '../bare-seal.ts';
import { Link, NO_BYTES } from './link.ts';

const FRAME_BYTES_MAX = 16 * 1024 * 1024 - 1;
const [NONCE_BYTES, HEAD_BYTES] = [12, 28];

const link = await Link.open(Number(process.argv[2]));
const pseudonymizer = new Pseudonymizer(randomBytes(32), 1);

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => undefined);
  const decoder = new FrameDecoder(FRAME_BYTES_MAX);
  socket.on('data', (chunk) => {
    decoder.push(chunk);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      if (frame.code === OPCODE.STORE) store(socket, frame);
      else retrieve(socket, frame);
    }
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on 127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));

function store(socket: Socket, { requestId, fieldBytes, body }: Frame): void {
  const id = Fields.decode(fieldBytes).requireBytes(FIELD.ID);
  const { storeKey } = pseudonymizer.seal({ namespace: NO_BYTES, id });
  const { key, nonce, tag, sealed } = sealBare(body);
  link.put(storeKey, [nonce, tag, sealed], () =>
    reply(socket, requestId, [bytesField(FIELD.KEY, key)]),
  );
}

function retrieve(socket: Socket, { requestId, fieldBytes }: Frame): void {
  const fields = Fields.decode(fieldBytes);
  const id = fields.requireBytes(FIELD.ID);
  const key = fields.requireBytes(FIELD.KEY);
  link.get(pseudonymizer.storeKey({ namespace: NO_BYTES, id }), (value) => {
    const [nonce, tag] = [value.subarray(0, NONCE_BYTES), value.subarray(NONCE_BYTES, HEAD_BYTES)];
    reply(socket, requestId, [], openBare({ key, nonce, tag, sealed: value.subarray(HEAD_BYTES) }));
  });
}

function reply(socket: Socket, requestId: number, fields: FieldEntry[], body?: Buffer): void {
  for (const buffer of encodeReply(0, requestId, fields, body)) socket.write(buffer);
}
