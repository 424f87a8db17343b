import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeHeader, open, type SealInput, seal } from '../../lib/crypto/envelope.ts';
import { decodeHead } from '../../lib/crypto/head.ts';
import { decodeKeyring } from '../../lib/crypto/keyring-file.ts';
import { decodeMetadata, encodeMetadata } from '../../lib/crypto/metadata.ts';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import { unwrapKey } from '../../lib/crypto/wrap.ts';
import { EncServerError } from '../../lib/errors.ts';
import { drawInput } from '../helpers/random-input.ts';

drawInput(5297);

function bytes(minLength: number, maxLength: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
}

const key = bytes(32, 32);
const name = fc.record({ namespace: bytes(0, 255), id: bytes(1, 1024) });
const wrap = fc.record({ number: fc.integer({ min: 1, max: 0xffff }), secret: key });
const sealInput: fc.Arbitrary<SealInput> = fc.record(
  {
    name,
    key,
    record: bytes(0, 3000),
    flags: fc.constantFrom(0, 1, 2, 3, 8, 9, 10, 11),
    expiryMs: fc.maxSafeNat(),
    metadata: bytes(0, 300),
    wrapped: wrap,
  },
  { requiredKeys: ['name', 'key', 'record'] },
);

/** Whatever the bytes, the only way out beside a result is one of these codes. */
function assertOnly(codes: readonly string[], decode: () => unknown): void {
  try {
    decode();
  } catch (thrown) {
    assert.ok(thrown instanceof EncServerError, String(thrown));
    assert.ok(codes.includes(thrown.code), thrown.code);
  }
}

test('what is sealed is opened the same', () => {
  fc.assert(
    fc.property(sealInput, (input) => {
      const { header, body } = seal(input);
      const opened = open(header, body, input.name, input.key);
      assert.deepEqual(opened.record, input.record);
      assert.deepEqual(opened.metadata, input.metadata ?? Buffer.alloc(0));
      assert.equal(decodeHeader(header).expiryMs, input.expiryMs ?? 0);
      if (input.wrapped !== undefined) {
        assert.deepEqual(unwrapKey(header, input.name, input.wrapped), input.key);
      }
    }),
  );
});

test('what is sealed under one name and key is not opened under another', () => {
  fc.assert(
    fc.property(sealInput, name, key, (input, otherName, otherKey) => {
      const { header, body } = seal(input);
      const wrong = { code: 'WRONG_KEY' };
      assert.throws(() => open(header, body, otherName, input.key), wrong);
      assert.throws(() => open(header, body, input.name, otherKey), wrong);
    }),
  );
});

test('any bytes are decoded or refused, never anything else', () => {
  fc.assert(
    fc.property(bytes(0, 200), (any) => {
      assertOnly(['ALTERED'], () => decodeHeader(any));
      assertOnly(['ALTERED'], () => decodeHead(any));
      assertOnly(['ALTERED'], () => decodeMetadata(any));
      assertOnly(['KEYRING_DAMAGED'], () => decodeKeyring(any));
    }),
  );
});

test('any header that starts well is decoded or refused', () => {
  const start = fc.integer({ min: 0, max: 31 }).map((flags) => Buffer.of(1, 1, flags, 0));
  fc.assert(
    fc.property(start, bytes(60, 120), name, key, (first, rest, anyName, anyKey) => {
      const header = Buffer.concat([first, rest]);
      assertOnly(['ALTERED', 'WRONG_KEY'], () => open(header, rest, anyName, anyKey));
      assertOnly(['ALTERED'], () => unwrapKey(header, anyName, { number: 1, secret: anyKey }));
    }),
  );
});

test('metadata has one encoding', () => {
  const item = fc.tuple(fc.integer({ min: 0, max: 4 }), bytes(0, 4));
  fc.assert(
    fc.property(fc.array(item, { maxLength: 3 }), (items) => {
      const encoded = Buffer.concat(
        items.flatMap(([type, value]) => [Buffer.of(type, 0, value.length), value]),
      );
      assertOnly(['ALTERED'], () => {
        const again = encodeMetadata(decodeMetadata(encoded));
        if (items.every(([type]) => type < 3)) assert.deepEqual(again, encoded);
      });
    }),
  );
});

test('a name has one pseudonym and comes back from it', () => {
  fc.assert(
    fc.property(key, fc.integer({ min: 1, max: 0xffff }), name, (secret, number, anyName) => {
      const pseudonym = new Pseudonymizer(secret, number).seal(anyName);
      const again = new Pseudonymizer(secret, number);
      assert.deepEqual(again.seal(anyName), pseudonym);
      assert.deepEqual(again.open(pseudonym.storeKey, pseudonym.sealedId), { ...anyName });
      assert.equal(pseudonym.storeKey.length, 27);
    }),
  );
});

test('names that differ have store keys that differ', () => {
  const short = fc.record({ namespace: bytes(0, 3), id: bytes(1, 3) });
  const pseudonymizer = new Pseudonymizer(Buffer.alloc(32, 1), 1);
  fc.assert(
    fc.property(short, short, (one, other) => {
      const same = one.namespace.equals(other.namespace) && one.id.equals(other.id);
      const keys = [one, other].map((each) => pseudonymizer.seal(each).storeKey);
      assert.equal(keys[0]?.equals(keys[1] ?? Buffer.alloc(0)), same);
    }),
  );
});

test('a pseudonym of any bytes is refused', () => {
  const pseudonymizer = new Pseudonymizer(Buffer.alloc(32, 1), 1);
  fc.assert(
    fc.property(bytes(27, 27), fc.constantFrom(32, 64, 33), (storeKey, sealedIdBytes) => {
      const openIt = () => pseudonymizer.open(storeKey, Buffer.alloc(sealedIdBytes));
      assert.throws(openIt, { code: 'ALTERED' });
    }),
  );
});
