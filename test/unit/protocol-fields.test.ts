import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  bytesField,
  emptyField,
  type FieldEntry,
  Fields,
  fieldsLength,
  u8Field,
  u32Field,
  u64Field,
  writeFields,
} from '../../lib/protocol/fields.ts';
import { FIELD } from '../../lib/protocol/messages.ts';

/** A section as it lies in a frame. */
function section(fields: readonly FieldEntry[], reply = false): Buffer {
  const length = fieldsLength(fields);
  const bytes = Buffer.alloc(2 + length);
  bytes.writeUInt16BE(length, 0);
  writeFields(fields, reply, bytes, 2);
  return bytes;
}

/** A section of raw fields, whose length is right. */
function rawSection(hex: string): Buffer {
  const fields = Buffer.from(hex, 'hex');
  const bytes = Buffer.alloc(2 + fields.length);
  bytes.writeUInt16BE(fields.length, 0);
  bytes.set(fields, 2);
  return bytes;
}

const ID = bytesField(FIELD.ID, Buffer.from('alice'));

describe('Fields', () => {
  it('gives typed values back', () => {
    const fields = Fields.decode(
      section([
        ID,
        u8Field(FIELD.REPLACED, 1),
        u32Field(FIELD.SIZE, 0xffff_ffff),
        u64Field(FIELD.EXPIRY, Number.MAX_SAFE_INTEGER),
        emptyField(FIELD.IF_ABSENT),
      ]),
    );
    assert.equal(fields.requireBytes(FIELD.ID).toString(), 'alice');
    assert.equal(fields.u8(FIELD.REPLACED), 1);
    assert.equal(fields.u32(FIELD.SIZE), 0xffff_ffff);
    assert.equal(fields.requireU32(FIELD.SIZE), 0xffff_ffff);
    assert.equal(fields.u64(FIELD.EXPIRY), Number.MAX_SAFE_INTEGER);
    assert.equal(fields.has(FIELD.IF_ABSENT), true);
  });

  it('knows what is not there', () => {
    const fields = Fields.decode(section([]));
    assert.equal(fields.has(FIELD.ID), false);
    assert.equal(fields.bytes(FIELD.ID), undefined);
    assert.equal(fields.u8(FIELD.REPLACED), undefined);
    assert.equal(fields.u32(FIELD.SIZE), undefined);
    assert.equal(fields.u64(FIELD.EXPIRY), undefined);
    assert.throws(() => fields.requireBytes(FIELD.STORE_KEY), {
      code: 'MISSING_FIELD',
      message: /STORE_KEY/,
    });
    assert.throws(() => fields.requireU32(FIELD.EPOCH), {
      code: 'MISSING_FIELD',
      message: /EPOCH/,
    });
  });

  it('tells an empty value from none', () => {
    const fields = Fields.decode(section([emptyField(FIELD.NAMESPACE)]));
    assert.equal(fields.has(FIELD.NAMESPACE), true);
    assert.equal(fields.bytes(FIELD.NAMESPACE)?.length, 0);
  });

  it('refuses a u64 that a number cannot hold', () => {
    const value = Buffer.from('0020000000000000', 'hex');
    const fields = Fields.decode(section([bytesField(FIELD.EXPIRY, value)]));
    assert.throws(() => fields.u64(FIELD.EXPIRY), { code: 'INVALID_FIELD', message: /EXPIRY/ });
  });

  it('marks requests as to be understood, but for what only helps, and never replies', () => {
    const entries = [ID, bytesField(FIELD.TRACE, Buffer.alloc(16)), u32Field(FIELD.TIMEOUT, 1)];
    const tags = (bytes: Buffer) => [bytes[2], bytes[2 + 8], bytes[2 + 8 + 19]];
    assert.deepEqual(tags(section(entries)), [0x81, 0x0e, 0x0d]);
    assert.deepEqual(tags(section(entries, true)), [0x01, 0x0e, 0x0d]);
    assert.deepEqual(section([bytesField(FIELD.AGENT, Buffer.alloc(0))])[2], 0x13);
  });

  it('refuses a field that must be understood and is not taken, by its number', () => {
    const bytes = section([ID, u32Field(FIELD.LIMIT, 3)]);
    assert.throws(() => Fields.decode(bytes, [FIELD.ID]), {
      code: 'UNKNOWN_FIELD',
      message: /LIMIT \(23\)/,
    });
    assert.throws(() => Fields.decode(rawSection('e30000')), {
      code: 'UNKNOWN_FIELD',
      message: /99/,
    });
  });

  it('passes over an advisory field that is not taken, whatever its length', () => {
    const bytes = rawSection(`630001ff${'01'}0005${'616c696365'}${'17'}0001${'00'}`);
    const fields = Fields.decode(bytes, [FIELD.ID]);
    assert.equal(fields.requireBytes(FIELD.ID).toString(), 'alice');
    assert.equal(fields.has(FIELD.LIMIT), false);
  });

  it('takes TRACE and TIMEOUT with every request', () => {
    const bytes = section([
      bytesField(FIELD.TRACE, Buffer.alloc(16, 9)),
      u32Field(FIELD.TIMEOUT, 5),
    ]);
    const fields = Fields.decode(bytes, []);
    assert.equal(fields.u32(FIELD.TIMEOUT), 5);
    assert.equal(fields.bytes(FIELD.TRACE)?.length, 16);
  });

  it('refuses what has no form', () => {
    const bad = [
      Buffer.alloc(0),
      Buffer.from('00', 'hex'),
      Buffer.from('0001', 'hex'),
      Buffer.from('000001', 'hex'),
      rawSection('01'),
      rawSection('0100'),
      rawSection('010001'),
      rawSection('010002ff'),
      rawSection('000000'),
      rawSection('800000'),
      rawSection('010001ff810001ff'),
      rawSection('630000630000'),
    ];
    for (const bytes of bad) {
      assert.throws(() => Fields.decode(bytes), { code: 'INVALID_FIELD' }, bytes.toString('hex'));
    }
  });

  it('shows no value in an error', () => {
    const value = Buffer.from('attack at dawn!');
    assert.throws(
      () => Fields.decode(section([bytesField(FIELD.KEY, value)])),
      (error: Error) => !error.message.includes('attack') && error.message.includes('15 bytes'),
    );
  });
});
