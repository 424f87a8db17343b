import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { aessiv } from '@noble/ciphers/aes.js';
import { Siv } from '../../lib/crypto/siv.ts';
import { readVectors, type Vector } from '../helpers/vectors.ts';

function dataOf(vector: Vector): Buffer[] {
  const fields = ['data-1', 'data-2', 'data-3'].filter((field) => vector.has(field));
  return fields.map((field) => vector.bytes(field));
}

for (const vector of readVectors('ENVELOPE.md', 'aes-siv')) {
  test(`AES-SIV: ${vector.title}`, () => {
    const siv = new Siv(vector.bytes('key'));
    const data = dataOf(vector);
    const sealed = siv.seal(vector.bytes('text'), siv.associate(...data));
    assert.equal(sealed.toString('hex'), vector.bytes('sealed').toString('hex'));
    assert.deepEqual(
      siv.open(vector.bytes('sealed'), siv.associate(...data)),
      vector.bytes('text'),
    );
  });

  test(`AES-SIV refuses any flipped byte: ${vector.title}`, () => {
    const siv = new Siv(vector.bytes('key'));
    const data = dataOf(vector);
    const sealed = vector.bytes('sealed');
    for (let at = 0; at < sealed.length; at++) {
      const flipped = Buffer.from(sealed);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x80, at);
      assert.throws(() => siv.open(flipped, siv.associate(...data)), { code: 'ALTERED' });
    }
  });
}

test('no associated data is not one empty datum', () => {
  const siv = new Siv(Buffer.alloc(64, 7));
  const text = Buffer.from('text');
  assert.notDeepEqual(
    siv.seal(text, siv.associate()),
    siv.seal(text, siv.associate(Buffer.alloc(0))),
  );
  assert.throws(() => siv.open(siv.seal(text, siv.associate()), siv.associate(Buffer.alloc(0))), {
    code: 'ALTERED',
  });
});

test('what is shorter than a tag is refused', () => {
  const siv = new Siv(Buffer.alloc(64, 7));
  assert.throws(() => siv.open(Buffer.alloc(15), siv.associate()), { code: 'ALTERED' });
  assert.throws(() => siv.open(Buffer.alloc(0), siv.associate()), { code: 'ALTERED' });
});

test('the text may be empty', () => {
  const siv = new Siv(Buffer.alloc(64, 7));
  const sealed = siv.seal(Buffer.alloc(0), siv.associate(Buffer.from('datum')));
  assert.equal(sealed.length, 16);
  assert.equal(siv.open(sealed, siv.associate(Buffer.from('datum'))).length, 0);
});

test('every length gives what @noble/ciphers gives, under both key sizes', () => {
  for (const keyBytes of [32, 64]) {
    for (let length = 0; length <= 100; length++) {
      const key = randomBytes(keyBytes);
      const text = randomBytes(length);
      const data = Array.from({ length: length % 4 }, (_, at) => randomBytes((length * at) % 50));
      const siv = new Siv(key);
      const sealed = siv.seal(text, siv.associate(...data));
      assert.deepEqual(sealed, Buffer.from(aessiv(key, ...data).encrypt(text)));
      assert.deepEqual(siv.open(sealed, siv.associate(...data)), text);
    }
  }
});
