/** Requests in Protocol Buffers, from bytes made by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { codeOf } from '../../lib/errors.ts';
import { loadService } from '../../lib/net/grpc-server.ts';
import { type Message, readMessage } from '../../lib/protocol/protobuf.ts';

const FIELDS = new Map([
  [1, { name: 'id', isText: true }],
  [2, { name: 'data', isText: true }],
  [5, { name: 'raw', isText: false }],
]);
const EMPTY = { id: '', data: '' };

function read(hex: string): Message {
  return readMessage(Buffer.from(hex, 'hex'), FIELDS, EMPTY);
}

function codeFor(hex: string): string | undefined {
  try {
    read(hex);
    return undefined;
  } catch (thrown) {
    return codeOf(thrown) ?? 'none of ours';
  }
}

const GOOD: readonly [what: string, hex: string, message: Message][] = [
  ['nothing', '', {}],
  ['both strings', '0a016b120176', { id: 'k', data: 'v' }],
  ['in another order', '1201760a016b', { id: 'k', data: 'v' }],
  ['bytes that are no UTF-8 where there are bytes', '2a01ff', { raw: Buffer.from([0xff]) }],
  ['the last of two counts', '0a01610a0162', { id: 'b' }],
  ['an empty string after another', '0a01610a00', { id: '' }],
  ['a byte order mark stays', '0a04efbbbf61', { id: '\ufeffa' }],
  ['a zero byte stays', '0a026100', { id: 'a\0' }],
  ['four bytes of UTF-8', '0a04f09f9880', { id: '😀' }],
  ['a length in more bytes than it needs', '0a81808080800061', { id: 'a' }],
  ['a tag in more bytes than it needs', '8a80000161', { id: 'a' }],
  [
    'unknown fields of each wire type',
    '1801190102030405060708220161350102030498067b0a016b',
    { id: 'k' },
  ],
  ['as many unknown fields as there may be', `${'1800'.repeat(9_999)}0a016b`, { id: 'k' }],
  ['an unknown number of ten bytes', '18ffffffffffffffffff010a016b', { id: 'k' }],
  ['unknown groups in groups', '1b2b08011201ff2c1c0a016b', { id: 'k' }],
  ['a known number with another wire type', '08010d010203040a016b', { id: 'k' }],
];

for (const [what, hex, message] of GOOD) {
  test(`read: ${what}`, () => assert.deepEqual(read(hex), { ...EMPTY, ...message }));
}

const BAD: readonly [what: string, hex: string, code?: string][] = [
  ['a byte that is none', 'ff'],
  ['a string that ends early', '0a0261'],
  ['no length', '0a'],
  ['a length beyond any message', '0affffffffffffffffff01'],
  ['a number of eleven bytes', '18ffffffffffffffffffff01'],
  ['a number that ends early', '1880'],
  ['eight bytes that are seven', '1901020304050607'],
  ['four bytes that are three', '1d010203'],
  ['field 0', '020161'],
  ['a tag above 32 bits', '8a808080800100'],
  ['wire type 6', '0e'],
  ['wire type 7', '0f'],
  ['the end of a group that did not begin', '1c'],
  ['a group without an end', '1b0801'],
  ['a group with the end of another', '1b24'],
  ['a thousand groups in groups', `${'1b'.repeat(1000)}${'1c'.repeat(1000)}`],
  ['an ID that is no UTF-8', '0a026bff', 'INVALID_ID'],
  ['an overlong ID', '0a02c080', 'INVALID_ID'],
  ['half a surrogate pair', '0a03eda080', 'INVALID_ID'],
  ['an ID cut inside a character', '0a03f09f98', 'INVALID_ID'],
  ['an ID that is no UTF-8, before another', '0a01ff0a0161', 'INVALID_ID'],
  ['other text that is no UTF-8', '0a016b1201ff'],
  ['more fields than any message has', '1800'.repeat(10_001)],
  ['more of them within a group', `1b${'1800'.repeat(10_000)}1c`],
];

for (const [what, hex, code = 'INVALID_FIELD'] of BAD) {
  test(`refused: ${what}`, () => assert.equal(codeFor(hex), code));
}

test('what another library writes is read as it was', () => {
  const method = loadService('service.proto', 'service.BackendService')['StoreRecord'];
  const text = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(text, text, (id, data) => {
      const bytes = method?.requestSerialize({ id, data }) as Buffer;
      assert.deepEqual(readMessage(bytes, FIELDS, EMPTY), { id, data });
    }),
  );
});

test('whatever the bytes are, they are a message or refused in words', () => {
  const piece = fc.oneof(
    fc.constantFrom('0a', '12', '2a', '0a01', '1b', '1c', '08', '80', 'ff'),
    fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const code = codeFor(pieces.join(''));
      assert.ok(code === undefined || code === 'INVALID_FIELD' || code === 'INVALID_ID', code);
    }),
  );
});
