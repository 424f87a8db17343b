import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { decodeError, encodeErrorReply } from '../../lib/protocol/error-reply.ts';
import { bytesField, Fields, u32Field } from '../../lib/protocol/fields.ts';
import { encodeReply, encodeRequest, type Frame, FrameDecoder } from '../../lib/protocol/frame.ts';
import { FRAME_BYTES_CEILING } from '../../lib/protocol/limits.ts';
import { FIELD, OPCODE } from '../../lib/protocol/messages.ts';

const FRAME_BYTES_MAX = 1024 * 1024;

function decodeAll(chunks: readonly Buffer[]): Frame[] {
  const decoder = new FrameDecoder(FRAME_BYTES_MAX);
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next())
      frames.push(frame);
  }
  assert.equal(decoder.bufferedBytes, 0);
  return frames;
}

function store(requestId: number, body: Buffer): Buffer {
  const id = bytesField(FIELD.ID, Buffer.from('alice'));
  return Buffer.concat(encodeRequest(OPCODE.STORE, requestId, [id], body));
}

/** A header as the wire has it, with nothing behind it. */
function header(length: number, version = 1, flags = 0, requestId = 1): Buffer {
  const bytes = Buffer.alloc(14);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(version, 4);
  bytes.writeUInt8(flags, 5);
  bytes.writeUInt16BE(OPCODE.PING, 6);
  bytes.writeUInt32BE(requestId, 8);
  return bytes;
}

describe('FrameDecoder', () => {
  it('gives the same frames wherever the bytes are cut', () => {
    const bytes = Buffer.concat([store(1, Buffer.from('hello')), store(2, Buffer.alloc(40, 7))]);
    const expected = decodeAll([bytes]);
    assert.equal(expected.length, 2);
    for (let cut = 0; cut <= bytes.length; cut++) {
      assert.deepEqual(decodeAll([bytes.subarray(0, cut), bytes.subarray(cut)]), expected);
    }
    const single = [...bytes].map((byte) => Buffer.from([byte]));
    assert.deepEqual(decodeAll(single), expected);
  });

  it('slices the body out of the chunk that holds the whole frame', () => {
    const bytes = store(1, Buffer.from('hello'));
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    decoder.push(bytes);
    const body = decoder.next()?.body;
    assert.equal(body?.buffer, bytes.buffer);
    assert.equal(decoder.copiedBytes, 0);
  });

  it('does linear work when bytes come one at a time', () => {
    const bytes = store(1, Buffer.alloc(200_000, 1));
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    let frame: Frame | undefined;
    for (let at = 0; at < bytes.length; at++) {
      decoder.push(bytes.subarray(at, at + 1));
      frame = decoder.next();
    }
    assert.equal(frame?.body.length, 200_000);
    // Gathered once, joined once, and the two parts of the header read ahead.
    assert.ok(decoder.copiedBytes <= 2 * bytes.length + 18, `${decoder.copiedBytes}`);
  });

  it('copies large frames into place out of one buffer that is used again and again', () => {
    const frames = [
      store(1, Buffer.alloc(300_000, 1)),
      store(2, Buffer.from('small')),
      store(3, Buffer.alloc(64 * 1024, 3)),
      store(4, Buffer.alloc(70_000, 4)),
    ];
    const expected = decodeAll(frames);
    const bytes = Buffer.concat(frames);
    for (const step of [13, 4096, 65_536, 150_000, 262_144, bytes.length]) {
      const reused = Buffer.alloc(step);
      const decoder = new FrameDecoder(FRAME_BYTES_MAX);
      const given: Frame[] = [];
      for (let at = 0; at < bytes.length; at += step) {
        const read = bytes.copy(reused, 0, at, at + step);
        decoder.pushCopy(reused.subarray(0, read));
        assert.equal(
          given.reduce((sum, frame) => sum + 12 + frame.fieldBytes.length + frame.body.length, 0) +
            decoder.bufferedBytes,
          at + read,
        );
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
          given.push(frame);
        }
        reused.fill(0xee);
      }
      assert.deepEqual(given, expected, `${step} bytes at a time`);
      assert.equal(decoder.bufferedBytes, 0);
      assert.ok(decoder.copiedBytes <= 2 * bytes.length + 4 * 18, `${decoder.copiedBytes}`);
    }
  });

  it('lets go of a large frame that was begun when the next one is wrong', () => {
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    const large = store(1, Buffer.alloc(100_000, 1));
    decoder.push(large.subarray(0, 50_000));
    assert.equal(decoder.next(), undefined);
    assert.equal(decoder.bufferedBytes, 50_000);
    decoder.push(Buffer.concat([large.subarray(50_000), header(9)]));
    assert.equal(decoder.next()?.body.length, 100_000);
    assert.throws(() => decoder.next(), { code: 'BAD_FRAME' });
    assert.equal(decoder.bufferedBytes, 0);
  });

  it('does linear work when many frames wait in many chunks', () => {
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    const bytes = Buffer.concat(
      Array.from({ length: 500 }, (_, n) => store(n + 1, Buffer.alloc(99))),
    );
    for (let at = 0; at < bytes.length; at += 600) decoder.push(bytes.subarray(at, at + 600));
    let frames = 0;
    while (decoder.next() !== undefined) frames++;
    assert.equal(frames, 500);
    assert.ok(decoder.copiedBytes <= bytes.length + 500 * 18, `${decoder.copiedBytes}`);
  });

  it('tells the length once its 4 bytes are there', () => {
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    const bytes = store(1, Buffer.from('hello'));
    decoder.push(bytes.subarray(0, 3));
    assert.equal(decoder.nextLength(), undefined);
    decoder.push(bytes.subarray(3, 4));
    assert.equal(decoder.nextLength(), bytes.length - 4);
    assert.equal(decoder.next(), undefined);
    decoder.push(bytes.subarray(4));
    assert.equal(decoder.nextLength(), bytes.length - 4);
    assert.ok(decoder.next());
    assert.equal(decoder.nextLength(), undefined);
  });

  it('takes a frame of exactly the maximum, and refuses one byte more', () => {
    const body = Buffer.alloc(FRAME_BYTES_MAX - 10);
    const largest = Buffer.concat(encodeRequest(OPCODE.PING, 1, [], body));
    assert.equal(decodeAll([largest])[0]?.body.length, body.length);
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    decoder.push(header(FRAME_BYTES_MAX + 1).subarray(0, 4));
    assert.throws(() => decoder.nextLength(), { code: 'FRAME_TOO_LARGE' });
  });

  it('never takes a length with a top byte other than 0, whatever the setting', () => {
    const decoder = new FrameDecoder(Number.MAX_SAFE_INTEGER);
    decoder.push(header(FRAME_BYTES_CEILING));
    assert.throws(() => decoder.next(), { code: 'FRAME_TOO_LARGE' });
  });

  it('refuses a wrong header before the rest of the frame is there', () => {
    const faults: [Buffer, string][] = [
      [header(9), 'BAD_FRAME'],
      [header(5000, 2), 'UNSUPPORTED_VERSION'],
      [header(5000, 0), 'UNSUPPORTED_VERSION'],
      [header(5000, 1, 0x02), 'BAD_FRAME'],
      [header(5000, 1, 0x81), 'BAD_FRAME'],
      [header(5000, 1, 0, 0), 'BAD_FRAME'],
    ];
    for (const [bytes, code] of faults) {
      const decoder = new FrameDecoder(FRAME_BYTES_MAX);
      decoder.push(bytes);
      assert.throws(() => decoder.next(), { code });
    }
  });

  it('stays in error and holds nothing any more', () => {
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    decoder.push(header(10, 2));
    assert.throws(() => decoder.next(), { code: 'UNSUPPORTED_VERSION' });
    decoder.push(store(1, Buffer.alloc(0)));
    assert.equal(decoder.bufferedBytes, 0);
    assert.throws(() => decoder.next(), { code: 'UNSUPPORTED_VERSION' });
    assert.throws(() => decoder.nextLength(), { code: 'UNSUPPORTED_VERSION' });
  });

  it('gives out what was whole before the error', () => {
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    decoder.push(Buffer.concat([store(1, Buffer.from('x')), header(3)]));
    assert.equal(decoder.next()?.requestId, 1);
    assert.throws(() => decoder.next(), { code: 'BAD_FRAME' });
  });

  it('looks at every header, not at the first alone', () => {
    const decoder = new FrameDecoder(FRAME_BYTES_MAX);
    decoder.push(Buffer.concat([store(1, Buffer.from('x')), header(10, 2)]));
    assert.equal(decoder.next()?.requestId, 1);
    assert.throws(() => decoder.next(), { code: 'UNSUPPORTED_VERSION' });
  });

  it('takes request ID 0 from GOAWAY and from replies', () => {
    const goaway = encodeRequest(OPCODE.GOAWAY, 0, [], Buffer.from('bye'));
    const [frame, reply] = decodeAll([...goaway, ...encodeReply(1, 0, [])]);
    assert.equal(frame?.code, OPCODE.GOAWAY);
    assert.equal(reply?.reply, true);
  });
});

describe('encodeRequest', () => {
  it('joins a small body, and leaves a large one as it is', () => {
    assert.equal(encodeRequest(OPCODE.PUT, 1, [], Buffer.alloc(16 * 1024)).length, 1);
    const large = Buffer.alloc(16 * 1024 + 1);
    const [head, body] = encodeRequest(OPCODE.PUT, 1, [], large);
    assert.equal(head?.length, 14);
    assert.equal(body, large);
  });

  it('refuses what no frame can hold', () => {
    const body = Buffer.alloc(FRAME_BYTES_CEILING - 10);
    assert.throws(() => encodeRequest(OPCODE.PUT, 1, [], body), { code: 'FRAME_TOO_LARGE' });
    assert.equal(encodeRequest(OPCODE.PUT, 1, [], body.subarray(1)).length, 2);
    const value = Buffer.alloc(0xffff - 2);
    const fields = [bytesField(FIELD.TOKEN, value)];
    assert.throws(() => encodeRequest(OPCODE.PUT, 1, fields), { code: 'INVALID_FIELD' });
  });
});

describe('decodeError', () => {
  const decode = (chunks: Buffer[]) => decodeError(decodeAll([Buffer.concat(chunks)])[0] as Frame);

  it('gives back what was encoded, words with semicolons included', () => {
    const error = new EncServerError('LARGE', 'the body is large', {
      hint: 'accept more; or less',
      sizeBytes: 70_000,
    });
    const decoded = decode(encodeErrorReply(5, error));
    assert.equal(decoded.describe(), error.describe());
    assert.equal(decoded.sizeBytes, 70_000);
  });

  it('leaves out a size that the field cannot hold', () => {
    for (const sizeBytes of [2 ** 32, -1, 1.5]) {
      const decoded = decode(encodeErrorReply(5, new EncServerError('LARGE', 'x', { sizeBytes })));
      assert.deepEqual([decoded.code, decoded.sizeBytes], ['LARGE', undefined]);
    }
  });

  it('takes the hint of the table where the reply has none', () => {
    const decoded = decode(encodeReply(30, 5, [], Buffer.from('gone')));
    assert.equal(decoded.describe(), 'NOT_FOUND gone; check the ID; it may have been deleted');
    assert.equal(decoded.sizeBytes, undefined);
  });

  it('takes an unknown status for INTERNAL', () => {
    assert.equal(decode(encodeReply(60_000, 5, [])).code, 'INTERNAL');
  });

  it('lets no control characters and no long speech through', () => {
    const words = Buffer.from(`\u001b[2Jfoo\r\nbar\u0085${'x'.repeat(5000)}`);
    const { message } = decode(encodeReply(30, 5, [u32Field(FIELD.SIZE, 1)], words));
    assert.match(message, /^ \[2Jfoo bar x+$/);
    assert.ok(message.length <= 1024);
  });
});

describe('a frame whose field section is too long', () => {
  it('is given out, and refused when its fields are looked at', () => {
    const bytes = store(1, Buffer.from('hello'));
    bytes.writeUInt16BE(bytes.length - 14 + 1, 12);
    const frame = decodeAll([bytes])[0] as Frame;
    assert.equal(frame.requestId, 1);
    assert.equal(frame.body.length, 0);
    assert.throws(() => Fields.decode(frame.fieldBytes), { code: 'INVALID_FIELD' });
  });
});
