import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeHexKey, encodeHex } from '../../lib/protocol/hex.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_, index) => (index * 37 + 11) & 0xff));

describe('decodeHexKey', () => {
  it('reads digits of either case', () => {
    const digits = KEY.toString('hex');
    assert.deepEqual(decodeHexKey(Buffer.from(digits)), KEY);
    assert.deepEqual(decodeHexKey(Buffer.from(digits.toUpperCase())), KEY);
  });

  it('takes exactly the 22 digits, in both halves of a byte', () => {
    for (let char = 0; char < 256; char++) {
      const isDigit = '0123456789abcdefABCDEF'.includes(String.fromCharCode(char));
      for (const at of [0, 1, 62, 63]) {
        const digits = Buffer.from('0'.repeat(64));
        digits[at] = char;
        if (isDigit) {
          assert.deepEqual(decodeHexKey(digits), Buffer.from(digits.toString(), 'hex'));
        } else {
          assert.throws(() => decodeHexKey(digits), { code: 'INVALID_KEY' });
        }
      }
    }
  });

  it('refuses other lengths and shows the length alone', () => {
    for (const length of [0, 1, 63, 65, 128]) {
      assert.throws(() => decodeHexKey(Buffer.alloc(length, 'a')), {
        code: 'INVALID_KEY',
        message: `the key has ${length} characters, not 64`,
      });
    }
  });

  it('does not keep the key in the memory that other Buffers share', () => {
    assert.equal(decodeHexKey(Buffer.from(KEY.toString('hex'))).buffer.byteLength, 32);
  });
});

describe('encodeHex', () => {
  it('writes lower-case digits for every byte', () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    assert.equal(encodeHex(bytes).toString('latin1'), bytes.toString('hex'));
    assert.equal(encodeHex(Buffer.alloc(0)).length, 0);
  });
});
