/** docs/PROTOCOL.md against the program: every table and every vector in it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EncServerError, ERRORS, type ErrorCode } from '../../lib/errors.ts';
import { detect } from '../../lib/protocol/detect.ts';
import { decodeError, encodeErrorReply } from '../../lib/protocol/error-reply.ts';
import { bytesField, type FieldEntry, Fields } from '../../lib/protocol/fields.ts';
import { encodeReply, encodeRequest, type Frame, FrameDecoder } from '../../lib/protocol/frame.ts';
import { encodeHex } from '../../lib/protocol/hex.ts';
import { DEFAULT_LIMITS } from '../../lib/protocol/limits.ts';
import { FIELD, type FieldType, OPCODE } from '../../lib/protocol/messages.ts';
import { type BeLine, type FeLine, parseBeLine, parseFeLine } from '../../lib/protocol/text.ts';
import { readArrows, readTable } from '../helpers/protocol-document.ts';
import { readVectors, type Vector } from '../helpers/vectors.ts';

const requests = readVectors('PROTOCOL.md', 'request');
const replies = readVectors('PROTOCOL.md', 'reply');
const refused = readVectors('PROTOCOL.md', 'refused');
/** The fields whose wrong length has a code of its own. */
const LENGTH_CODES: Readonly<Record<string, ErrorCode>> = {
  ID: 'INVALID_ID',
  KEY: 'INVALID_KEY',
  OLD_KEY: 'INVALID_KEY',
  NAMESPACE: 'INVALID_NAMESPACE',
};
const fieldNumbers = FIELD as Readonly<Record<string, FieldType>>;
const opcodeNumbers = OPCODE as Readonly<Record<string, number>>;

function decodeOne(bytes: Buffer): Frame {
  const decoder = new FrameDecoder(DEFAULT_LIMITS.frameBytesMax);
  decoder.push(bytes);
  const frame = decoder.next();
  assert.ok(frame, 'the frame is whole');
  assert.equal(decoder.bufferedBytes, 0);
  return frame;
}

function statusOf(vector: Vector): number {
  const name = vector.text('status');
  return name === 'OK' ? 0 : ERRORS[name as ErrorCode].status;
}

/** `ID=616c696365 IF_ABSENT=` */
function fieldsOf(vector: Vector): FieldEntry[] {
  const words = vector.text('fields').split(' ').filter(Boolean);
  return words.map((word) => {
    const [name = '', hex = ''] = word.split('=');
    const type = fieldNumbers[name];
    assert.ok(type, `${name} is a field`);
    const value = Buffer.from(hex, 'hex');
    assert.equal(value.toString('hex'), hex);
    return bytesField(type, value);
  });
}

describe('PROTOCOL.md: frames that are good', () => {
  for (const vector of [...requests, ...replies]) {
    const bytes = vector.bytes('bytes');
    const reply = vector.has('status');
    const requestId = vector.number('id');
    const code = reply ? statusOf(vector) : (opcodeNumbers[vector.text('opcode')] ?? -1);
    const body = vector.bytes('body');

    it(`decodes: ${vector.title}`, () => {
      const frame = decodeOne(bytes);
      assert.equal(frame.reply, reply);
      assert.equal(frame.code, code);
      assert.equal(frame.requestId, requestId);
      assert.deepEqual(frame.body, body);
      const fields = Fields.decode(frame.fieldBytes);
      const expected = fieldsOf(vector);
      for (const { type, value } of expected) assert.deepEqual(fields.bytes(type), value);
      const present = Object.values(FIELD).filter((type) => fields.has(type));
      assert.deepEqual(
        present,
        expected.map(({ type }) => type).sort((a, b) => a - b),
      );
    });

    if (vector.has('decode-only')) continue;
    it(`encodes: ${vector.title}`, () => {
      const encode = reply ? encodeReply : encodeRequest;
      assert.deepEqual(encode(code, requestId, fieldsOf(vector), body), [bytes]);
    });
  }

  for (const vector of replies.filter((reply) => reply.has('message'))) {
    it(`is an error both ways: ${vector.title}`, () => {
      const bytes = vector.bytes('bytes');
      const error = decodeError(decodeOne(bytes));
      assert.equal(error.code, vector.text('status'));
      assert.equal(error.message, vector.text('message'));
      assert.equal(error.hint, vector.text('hint'));
      assert.deepEqual(encodeErrorReply(vector.number('id'), error), [bytes]);
    });
  }
});

/** What a request takes, by opcode, read from the tables of operations. */
const TAKES = new Map<number, { name: string; fields: FieldType[]; needed: FieldType[] }>();
for (const [name = '', number = '', request = ''] of readTable('opcode', 'number')) {
  const mentioned = [...request.matchAll(/\b([A-Z_]{2,})\b(\?)?/g)];
  const known = mentioned.filter((match) => (match[1] ?? '') in FIELD);
  const numberOf = (match: RegExpMatchArray) => fieldNumbers[match[1] ?? ''] as FieldType;
  TAKES.set(Number(number), {
    name,
    fields: known.map(numberOf),
    needed: known.filter((match) => match[2] === undefined).map(numberOf),
  });
}

/** What a server does with a frame before it executes it, in the order of the document. */
function admit(bytes: Buffer): void {
  const frame = decodeOne(bytes);
  const takes = TAKES.get(frame.code);
  if (takes === undefined) throw new EncServerError('UNKNOWN_OPCODE', 'no such operation');
  const fields = Fields.decode(frame.fieldBytes, takes.fields);
  for (const type of takes.needed) fields.requireBytes(type);
  fields.u64(FIELD.EXPIRY);
}

describe('PROTOCOL.md: frames that are refused', () => {
  for (const vector of refused) {
    it(vector.title, () => {
      const bytes = vector.bytes('bytes');
      const closes = vector.text('closes') === 'yes';
      const code = vector.text('error');
      assert.throws(() => admit(bytes), { name: 'EncServerError', code });
      // What ends the connection is thrown by the decoder, what fails one request is not.
      if (closes) assert.throws(() => decodeOne(bytes), { code });
      else assert.equal(decodeOne(bytes).requestId, vector.number('id'));
      assert.equal(vector.number('id') === 0, closes, 'ID 0 says that the connection ends');
    });
  }
});

describe('PROTOCOL.md: tables', () => {
  it('has every opcode', () => {
    const named = [...TAKES].map(([number, { name }]) => [name, number]);
    assert.deepEqual(Object.fromEntries(named), OPCODE);
  });

  it('has every field', () => {
    const rows = readTable('type', 'field', 'value');
    assert.deepEqual(
      Object.fromEntries(rows.map(([number, name]) => [name, Number(number)])),
      FIELD,
    );
  });

  for (const [number = '', name = '', form = ''] of readTable('type', 'field', 'value')) {
    it(`${name} has ${form}`, () => {
      const fixed = { u8: 1, u32: 4, u64: 8, empty: 0 }[form];
      const bounds = [...form.matchAll(/\d+/g)].map(Number);
      const min = fixed ?? bounds[0] ?? -1;
      const max = fixed ?? bounds.at(-1) ?? -1;
      const decode = (length: number) => {
        const entry = bytesField(Number(number) as FieldType, Buffer.alloc(length));
        return Fields.decode(decodeOne(Buffer.concat(encodeRequest(1, 1, [entry]))).fieldBytes);
      };
      const code = LENGTH_CODES[name];
      const refusal = { code: code ?? 'INVALID_FIELD' };
      assert.ok(decode(min).has(Number(number) as FieldType));
      assert.ok(decode(max).has(Number(number) as FieldType));
      assert.throws(() => decode(max + 1), refusal);
      if (min > 0) assert.throws(() => decode(min - 1), refusal);
    });
  }
});

describe('PROTOCOL.md: first bytes', () => {
  for (const { title, bytes, ended, result } of readArrows('detect')) {
    it(title, () => assert.equal(detect(bytes, ended) ?? 'wait', result));
  }
});

/** A parsed line in the notation of the document; or the code of its error. */
function shown(parse: () => FeLine | BeLine): string {
  const quote = (bytes: Buffer) => JSON.stringify(bytes.toString('utf8'));
  try {
    const line = parse();
    const parts: string[] = [line.verb];
    if ('base64' in line && line.base64) parts[0] = `${line.verb}64`;
    if ('id' in line) parts.push(quote(line.id));
    if ('token' in line) parts.push(quote(line.token));
    if ('record' in line) parts.push(quote(line.record));
    if ('key' in line && line.key !== undefined) parts.push(encodeHex(line.key).toString());
    return parts.join(' ');
  } catch (error) {
    assert.ok(error instanceof EncServerError);
    return error.code;
  }
}

describe('PROTOCOL.md: lines to the front end', () => {
  for (const { title, bytes, result } of readArrows('fe-lines')) {
    it(title, () =>
      assert.equal(
        shown(() => parseFeLine(bytes)),
        result,
      ),
    );
  }
});

describe('PROTOCOL.md: lines to the back end', () => {
  for (const { title, bytes, result } of readArrows('be-lines')) {
    it(title, () =>
      assert.equal(
        shown(() => parseBeLine(bytes)),
        result,
      ),
    );
  }
});
