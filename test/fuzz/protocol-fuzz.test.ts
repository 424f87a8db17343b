import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EncServerError } from '../../lib/errors.ts';
import { Detector, detect } from '../../lib/protocol/detect.ts';
import { decodeError } from '../../lib/protocol/error-reply.ts';
import { bytesField, Fields } from '../../lib/protocol/fields.ts';
import { encodeReply, encodeRequest, type Frame, FrameDecoder } from '../../lib/protocol/frame.ts';
import { FIELD } from '../../lib/protocol/messages.ts';
import { LineDecoder, parseBeLine, parseFeLine } from '../../lib/protocol/text.ts';
import { drawInput } from '../helpers/random-input.ts';

drawInput(7777);

const FRAME_BYTES_MAX = 4096;
const LINE_BYTES_MAX = 200;
/** Bytes of a header that may be copied once more when it is read ahead: 4 and 14. */
const HEADER_COPY_BYTES = 18;

const FRAME_CODES = ['BAD_FRAME', 'FRAME_TOO_LARGE', 'UNSUPPORTED_VERSION'];
const FIELD_CODES = [
  'INVALID_FIELD',
  'UNKNOWN_FIELD',
  'INVALID_ID',
  'INVALID_KEY',
  'INVALID_NAMESPACE',
];
const LINE_CODES = [
  'INVALID_LINE',
  'UNKNOWN_VERB',
  'MISSING_FIELD',
  'INVALID_ID',
  'INVALID_KEY',
  'INVALID_RECORD',
];

function bytes(minLength: number, maxLength: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
}

const entry = fc.oneof(
  bytes(1, 60).map((value) => bytesField(FIELD.ID, value)),
  bytes(32, 32).map((value) => bytesField(FIELD.KEY, value)),
  bytes(0, 255).map((value) => bytesField(FIELD.NAMESPACE, value)),
  bytes(16, 16).map((value) => bytesField(FIELD.TRACE, value)),
);
const frameInput = fc.record({
  reply: fc.boolean(),
  code: fc.integer({ min: 0, max: 0xffff }),
  requestId: fc.integer({ min: 1, max: 0xffff_ffff }),
  fields: fc.uniqueArray(entry, { selector: ({ type }) => type, maxLength: 4 }),
  body: bytes(0, 3000),
});
/** Sizes of the pieces that a stream arrives in, over and over. */
const pieces = fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 2000 })), {
  minLength: 1,
  maxLength: 10,
});

function* cut(stream: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield stream.subarray(at, at + size);
    at += size;
  }
}

/** Runs a decoder as a connection does and holds it to its invariants; the error ends it. */
function decodeFrames(stream: Buffer, sizes: readonly number[]): (Frame | string)[] {
  const decoder = new FrameDecoder(FRAME_BYTES_MAX);
  const results: (Frame | string)[] = [];
  let pushedBytes = 0;
  let givenBytes = 0;
  try {
    for (const piece of cut(stream, sizes)) {
      decoder.push(piece);
      pushedBytes += piece.length;
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        results.push(frame);
        givenBytes += 12 + frame.fieldBytes.length + frame.body.length;
        assert.equal(pushedBytes, givenBytes + decoder.bufferedBytes);
      }
      assert.equal(pushedBytes, givenBytes + decoder.bufferedBytes);
      assert.ok(decoder.bufferedBytes < 4 + FRAME_BYTES_MAX);
      const headers = results.length + 1;
      assert.ok(decoder.copiedBytes <= 2 * pushedBytes + HEADER_COPY_BYTES * headers);
    }
  } catch (thrown) {
    if (!(thrown instanceof EncServerError)) throw thrown;
    assert.ok(FRAME_CODES.includes(thrown.code), thrown.code);
    assert.equal(decoder.bufferedBytes, 0);
    assert.throws(() => decoder.next(), thrown);
    results.push(thrown.code);
  }
  return results;
}

/** Whatever the bytes, the only way out beside a result is one of these codes. */
function codeOf(codes: readonly string[], decode: () => unknown): string | undefined {
  try {
    decode();
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof EncServerError)) throw thrown;
    assert.ok(codes.includes(thrown.code), thrown.code);
    return thrown.code;
  }
}

test('frames come out as they went in, in whatever pieces', () => {
  fc.assert(
    fc.property(fc.array(frameInput, { maxLength: 6 }), pieces, (inputs, sizes) => {
      const chunks = inputs.flatMap(({ reply, code, requestId, fields, body }) =>
        (reply ? encodeReply : encodeRequest)(code, requestId, fields, body),
      );
      const frames = decodeFrames(Buffer.concat(chunks), sizes) as Frame[];
      assert.equal(frames.length, inputs.length);
      frames.forEach((frame, index) => {
        const { fields, ...expected } = inputs[index] as (typeof inputs)[number];
        const { fieldBytes, ...rest } = frame;
        assert.deepEqual(rest, expected);
        const decoded = Fields.decode(fieldBytes);
        for (const { type, value } of fields) assert.deepEqual(decoded.bytes(type), value);
      });
    }),
  );
});

test('a stream with a wrong byte is cut the same in whatever pieces', () => {
  const damage = fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(
      fc.array(frameInput, { minLength: 1, maxLength: 3 }),
      damage,
      pieces,
      (inputs, { at, value }, sizes) => {
        const stream = Buffer.concat(
          inputs.flatMap(({ code, requestId, fields, body }) =>
            encodeRequest(code, requestId, fields, body),
          ),
        );
        stream[at % stream.length] = value;
        const whole = decodeFrames(stream, [stream.length]);
        assert.deepEqual(decodeFrames(stream, sizes), whole);
        for (const result of whole) {
          if (typeof result === 'string') continue;
          codeOf(FIELD_CODES, () => Fields.decode(result.fieldBytes));
          codeOf(FIELD_CODES, () => decodeError(result));
        }
      },
    ),
  );
});

test('any bytes are frames or an error of the wire', () => {
  fc.assert(
    fc.property(bytes(0, 200), pieces, (stream, sizes) => void decodeFrames(stream, sizes)),
  );
});

test('any section is fields or an error of the request', () => {
  const field = fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.nat(40), bytes(0, 40))
    .map(([tag, length, value]) => Buffer.concat([Buffer.from([tag, 0, length]), value]));
  const section = fc
    .tuple(fc.nat(300), fc.boolean(), fc.array(field, { maxLength: 5 }))
    .map(([length, right, fields]) => {
      const raw = Buffer.concat([Buffer.alloc(2), ...fields]);
      raw.writeUInt16BE(right ? raw.length - 2 : length, 0);
      return raw;
    });
  fc.assert(
    fc.property(fc.oneof(section, bytes(0, 30)), (raw) => {
      codeOf(FIELD_CODES, () => Fields.decode(raw));
      codeOf(FIELD_CODES, () => Fields.decode(raw, [FIELD.ID, FIELD.KEY]));
    }),
  );
});

test('lines come out as they went in, in whatever pieces', () => {
  const text = fc.string({ maxLength: 150 }).map((line) => line.replaceAll(/[\r\n]/g, ' '));
  const line = fc.record({ text, end: fc.constantFrom('\n', '\r\n') });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), text, pieces, (lines, rest, sizes) => {
      const stream = Buffer.from(lines.map(({ text, end }) => text + end).join('') + rest);
      const decoder = new LineDecoder(LINE_BYTES_MAX * 4);
      const found: string[] = [];
      for (const piece of cut(stream, sizes)) {
        decoder.push(piece);
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
          found.push(next.toString());
        }
        assert.ok(decoder.bufferedBytes <= LINE_BYTES_MAX * 4);
      }
      const last = decoder.end();
      if (last !== undefined) found.push(last.toString());
      assert.deepEqual(found, [...lines.map((each) => each.text), ...(rest === '' ? [] : [rest])]);
    }),
  );
});

test('a line that is too long is refused in whatever pieces', () => {
  const length = fc.integer({ min: LINE_BYTES_MAX - 5, max: LINE_BYTES_MAX + 5 });
  fc.assert(
    fc.property(length, fc.boolean(), pieces, (lineBytes, ended, sizes) => {
      const decoder = new LineDecoder(LINE_BYTES_MAX);
      const code = codeOf(['LINE_TOO_LONG'], () => {
        for (const piece of cut(Buffer.from('x'.repeat(lineBytes) + (ended ? '\n' : '')), sizes)) {
          decoder.push(piece);
          decoder.next();
        }
      });
      assert.equal(code === 'LINE_TOO_LONG', lineBytes > LINE_BYTES_MAX);
    }),
  );
});

test('any line is parsed or refused, and an error shows nothing of it', () => {
  const verb = fc.constantFrom(
    'STORE',
    'RETRIEVE',
    'DELETE',
    'STORE64',
    'RETRIEVE64',
    'PING',
    'get',
    '',
  );
  // Longer than any word of the messages is likely to be, and marked.
  const token = fc.string({ minLength: 1, maxLength: 30 }).map((text) => `#${text}#${text}#`);
  const words = fc.array(fc.oneof(token, fc.constantFrom('', ' ', '\t')), { maxLength: 4 });
  const spoken = fc
    .tuple(verb, words)
    .map(([first, rest]) => Buffer.from([first, ...rest].join(' ')));
  fc.assert(
    fc.property(fc.oneof(spoken, bytes(0, 60)), (line) => {
      for (const parse of [parseFeLine, parseBeLine]) {
        try {
          parse(line);
        } catch (thrown) {
          if (!(thrown instanceof EncServerError)) throw thrown;
          assert.ok(LINE_CODES.includes(thrown.code), thrown.code);
          assert.ok(!thrown.describe().includes('#'));
        }
      }
    }),
  );
});

const opening = (() => {
  const words = fc.constantFrom(
    'DELETE',
    'STORE',
    'GET',
    'PRI',
    'PRI * HTTP/2.0',
    ' ',
    '/x',
    ' HTTP/1.1',
    '\r',
    '\n',
  );
  const spoken = fc.array(words, { maxLength: 8 }).map((parts) => Buffer.from(parts.join('')));
  return fc.oneof(spoken, bytes(0, 40));
})();

test('a dialect is the same in whatever pieces', () => {
  fc.assert(
    fc.property(opening, pieces, (stream, sizes) => {
      const detector = new Detector();
      let pushedBytes = 0;
      for (const piece of cut(stream, sizes)) {
        const told = detector.push(piece);
        pushedBytes += piece.length;
        assert.deepEqual(detector.head, stream.subarray(0, pushedBytes));
        assert.equal(told, detect(detector.head, false));
        if (told !== undefined) return;
      }
      assert.equal(detector.end(), detect(stream, true));
    }),
  );
});

test('a dialect once told stays, whatever follows', () => {
  fc.assert(
    fc.property(opening, (stream) => {
      const final = detect(stream, true);
      assert.ok(final !== undefined);
      let told: string | undefined;
      for (let length = 0; length <= stream.length; length++) {
        const dialect = detect(stream.subarray(0, length), false);
        if (told !== undefined) assert.equal(dialect, told);
        told = dialect;
      }
      if (told !== undefined) assert.equal(final, told);
    }),
  );
});
