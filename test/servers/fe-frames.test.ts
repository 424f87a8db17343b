/** Good and bad frames to the real front end. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bytesField, u8Field, u32Field } from '../../lib/protocol/fields.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';
import { startServers, type TestServers } from '../helpers/servers.ts';
import { frameOf, framesIn, statusOf, Wire } from '../helpers/wire.ts';

const KEY = Buffer.from([...Array(32).keys()]);

let servers: TestServers;
before(async () => {
  servers = await startServers();
});
after(() => servers.close());

function idField(id = 'alice') {
  return bytesField(FIELD.ID, Buffer.from(id));
}

/** Whether the front end still answers on this connection. */
async function livesOn(wire: Wire): Promise<void> {
  wire.request(OPCODE.PING, 4_000_000_000, [], 'still there');
  const frame = await wire.frame();
  assert.deepEqual([frame.requestId, frame.body.toString()], [4_000_000_000, 'still there']);
}

test('requests that come together are all answered', async () => {
  const wire = await Wire.open(servers.fe.port);
  const ids = Array.from({ length: 500 }, (_, index) => index + 1);
  wire.send(Buffer.concat(ids.map((id) => frameOf(OPCODE.PING, id, [], `${id}`))));
  const frames = await wire.frames(ids.length);
  assert.deepEqual(new Set(frames.map((frame) => frame.requestId)), new Set(ids));
  for (const frame of frames) assert.equal(frame.body.toString(), `${frame.requestId}`);
  wire.close();
});

test('a frame is answered however it is cut', async () => {
  const bytes = frameOf(OPCODE.STORE, 5, [idField(), bytesField(FIELD.KEY, KEY)], 'hello');
  const wire = await Wire.open(servers.fe.port);
  for (let at = 1; at < bytes.length; at++) {
    await wire.sendAlone(bytes.subarray(0, at));
    wire.send(bytes.subarray(at));
    assert.equal(statusOf(await wire.frame()), 'OK');
  }
  wire.close();
});

const REFUSED: readonly [code: string, opcode: number, fields: Parameters<typeof frameOf>[2]][] = [
  ['UNKNOWN_OPCODE', 255, []],
  ['UNKNOWN_OPCODE', OPCODE.PUT, []],
  ['UNKNOWN_OPCODE', OPCODE.GOAWAY, []],
  ['MISSING_FIELD', OPCODE.STORE, []],
  ['MISSING_FIELD', OPCODE.RETRIEVE, [idField()]],
  ['MISSING_FIELD', OPCODE.DELETE, []],
  ['MISSING_FIELD', OPCODE.CANCEL, []],
  ['INVALID_ID', OPCODE.STORE, [idField('')]],
  ['INVALID_ID', OPCODE.STORE, [idField('x'.repeat(1025))]],
  ['INVALID_KEY', OPCODE.RETRIEVE, [idField(), bytesField(FIELD.KEY, KEY.subarray(1))]],
  ['INVALID_NAMESPACE', OPCODE.STORE, [idField(), bytesField(FIELD.NAMESPACE, Buffer.alloc(256))]],
  ['UNKNOWN_FIELD', OPCODE.STORE, [idField(), bytesField(FIELD.PREFIX, KEY)]],
  ['UNKNOWN_FIELD', OPCODE.PING, [bytesField(99 as never, KEY)]],
  ['INVALID_FIELD', OPCODE.STORE, [idField(), idField()]],
  ['INVALID_FIELD', OPCODE.CANCEL, [u8Field(FIELD.TARGET, 1)]],
  ['INVALID_FIELD', OPCODE.STORE, [idField(), bytesField(FIELD.IF_ABSENT, KEY)]],
  ['WEAK_KEY', OPCODE.STORE, [idField(), bytesField(FIELD.KEY, Buffer.alloc(32, 7))]],
  ['NOT_FOUND', OPCODE.RETRIEVE, [idField('nobody'), bytesField(FIELD.KEY, KEY)]],
];

for (const [code, opcode, fields] of REFUSED) {
  const types = fields?.map(({ type, value }) => `${type} of ${value.length} bytes`);
  test(`opcode ${opcode} with [${types}] is ${code}; the connection lives on`, async () => {
    const wire = await Wire.open(servers.fe.port);
    wire.request(opcode, 7, fields);
    const frame = await wire.frame();
    assert.deepEqual([frame.reply, frame.requestId, statusOf(frame)], [true, 7, code]);
    assert.match(frame.body.toString(), /^[^;]+; [^;]+/);
    await livesOn(wire);
    wire.close();
  });
}

const ENDED: readonly [title: string, code: string, bytes: Buffer][] = [
  ['a length above the maximum', 'FRAME_TOO_LARGE', Buffer.from('00ffffff', 'hex')],
  ['a length below the least', 'BAD_FRAME', Buffer.from('00000009', 'hex')],
  [
    'another version',
    'UNSUPPORTED_VERSION',
    Buffer.from('0000000a0200000200000001 0000'.replace(' ', ''), 'hex'),
  ],
  ['an unknown flag', 'BAD_FRAME', Buffer.from('0000000a01020002000000010000', 'hex')],
  ['a reply', 'BAD_FRAME', Buffer.from('0000000a01010002000000010000', 'hex')],
  ['request ID 0', 'BAD_FRAME', Buffer.from('0000000a01000002000000000000', 'hex')],
  ['GOAWAY from a client', 'BAD_FRAME', Buffer.from('0000000a01000005000000000000', 'hex')],
];

for (const [title, code, bytes] of ENDED) {
  test(`${title} is ${code}, and ends this connection only`, async () => {
    const [wire, other] = [await Wire.open(servers.fe.port), await Wire.open(servers.fe.port)];
    other.request(OPCODE.PING, 1);
    wire.request(OPCODE.PING, 3, [], 'before');
    await wire.sendAlone(bytes);
    const frames = framesIn(await wire.rest());
    const seen = frames.map((frame) => `${frame.requestId} ${statusOf(frame)}`).sort();
    assert.deepEqual(seen, [`0 ${code}`, '3 OK']);
    await other.frame();
    await livesOn(other);
    for (const one of [wire, other]) one.close();
  });
}

test('a frame cut by the end of input is BAD_FRAME', async () => {
  const wire = await Wire.open(servers.fe.port);
  wire.request(OPCODE.PING, 1);
  wire.send(frameOf(OPCODE.PING, 2).subarray(0, -1));
  wire.end();
  const frames = framesIn(await wire.rest());
  assert.deepEqual(frames.map(statusOf).sort(), ['BAD_FRAME', 'OK']);
  wire.close();
});

test('whoever ends its output still gets every reply', async () => {
  const wire = await Wire.open(servers.fe.port);
  for (let id = 1; id <= 20; id++) wire.request(OPCODE.STORE, id, [idField(`half-${id}`)], 'x');
  wire.end();
  const frames = framesIn(await wire.rest());
  assert.deepEqual(frames.map(statusOf), Array(20).fill('OK'));
  wire.close();
});

test('CANCEL of what is not under way is silent', async () => {
  const wire = await Wire.open(servers.fe.port);
  wire.request(OPCODE.CANCEL, 9, [u32Field(FIELD.TARGET, 77)]);
  await livesOn(wire);
  wire.close();
});
