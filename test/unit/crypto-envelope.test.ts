import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import {
  checkKeyStrength,
  decodeHeader,
  ENVELOPE_FLAG,
  open,
  proveKey,
  SEAL_OVERHEAD_BYTES,
  seal,
} from '../../lib/crypto/envelope.ts';
import { encodeHead } from '../../lib/crypto/head.ts';
import { deriveKey } from '../../lib/crypto/kdf.ts';
import { decodeMetadata, encodeMetadata, METADATA_BYTES_MAX } from '../../lib/crypto/metadata.ts';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import { randomKey } from '../../lib/crypto/random.ts';
import { unwrapKey, wrapKey } from '../../lib/crypto/wrap.ts';
import { EncServerError } from '../../lib/errors.ts';
import { FRAME_OVERHEAD_BYTES } from '../../lib/protocol/limits.ts';

const NONE = Buffer.alloc(0);
const name = { namespace: NONE, id: Buffer.from('alice') };
const record = Buffer.from('hello');
const key = randomKey();

test('the KDF is SP 800-108 counter mode, computed by hand', () => {
  const context = Buffer.from('context');
  const fixed = Buffer.concat([Buffer.from('label'), Buffer.of(0), context, Buffer.of(0, 0, 2, 0)]);
  const counted = Buffer.concat([Buffer.of(0, 0, 0, 1), fixed]);
  const expected = createHmac('sha512', key).update(counted).digest();
  assert.deepEqual(deriveKey(key, 'label', context), expected);
});

test('every secret that is not 32 bytes is refused', () => {
  const { header, body } = seal({ name, key, record });
  for (const bytes of [0, 31, 33, 64]) {
    const bad = Buffer.alloc(bytes, 1);
    const invalid = { code: 'INVALID_KEY' };
    assert.throws(() => deriveKey(bad, 'label', NONE), invalid);
    assert.throws(() => seal({ name, key: bad, record }), invalid);
    assert.throws(() => open(header, body, name, bad), invalid);
    assert.throws(() => proveKey(header, name, bad), invalid);
    assert.throws(() => checkKeyStrength(bad), invalid);
    assert.throws(() => new Pseudonymizer(bad, 1), invalid);
    assert.throws(() => wrapKey(header, name, bad, { number: 1, secret: key }), invalid);
    assert.throws(() => wrapKey(header, name, key, { number: 1, secret: bad }), invalid);
  }
});

test('names out of bounds are refused wherever one is given', () => {
  const { header, body } = seal({ name, key, record });
  const pseudonymizer = new Pseudonymizer(key, 1);
  const cases = [
    { code: 'INVALID_ID', bad: { namespace: NONE, id: NONE } },
    { code: 'INVALID_ID', bad: { namespace: NONE, id: Buffer.alloc(1025) } },
    { code: 'INVALID_NAMESPACE', bad: { namespace: Buffer.alloc(256), id: name.id } },
  ];
  for (const { code, bad } of cases) {
    assert.throws(() => seal({ name: bad, key, record }), { code });
    assert.throws(() => open(header, body, bad, key), { code });
    assert.throws(() => proveKey(header, bad, key), { code });
    assert.throws(() => pseudonymizer.seal(bad), { code });
  }
  assert.throws(() => pseudonymizer.prefix(Buffer.alloc(256)), { code: 'INVALID_NAMESPACE' });
});

test('every sealing draws a nonce of its own', () => {
  const one = seal({ name, key, record });
  const other = seal({ name, key, record });
  assert.notDeepEqual(decodeHeader(one.header).nonce, decodeHeader(other.header).nonce);
  assert.notDeepEqual(one.body, other.body);
});

test('header and body of two sealings do not mix', () => {
  const one = seal({ name, key, record });
  const other = seal({ name, key, record });
  assert.throws(() => open(one.header, other.body, name, key), { code: 'ALTERED' });
});

test('a key is proven by the header alone', () => {
  const { header } = seal({ name, key, record });
  proveKey(header, name, key);
  assert.throws(() => proveKey(header, name, randomKey()), { code: 'WRONG_KEY' });
  assert.throws(() => proveKey(header.subarray(1), name, key), { code: 'ALTERED' });
});

test('8 MiB come back as they were', () => {
  const large = Buffer.alloc(8 * 1024 * 1024, 'enc-server-ts');
  const { header, body } = seal({ name, key, record: large });
  assert.equal(body.length, large.length + 18);
  assert.ok(open(header, body, name, key).record.equals(large));
});

test('nothing given to seal is changed by it', () => {
  const input = { name, key: Buffer.from(key), record: Buffer.from(record), nonce: randomKey() };
  const nonce = input.nonce.subarray(0, 24);
  const before = Buffer.concat([input.key, input.record, nonce]);
  seal({ ...input, nonce });
  assert.deepEqual(Buffer.concat([input.key, input.record, nonce]), before);
});

test('expiries that are no time are refused', () => {
  for (const expiryMs of [-1, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER + 1]) {
    assert.throws(() => seal({ name, key, record, expiryMs }), { code: 'INVALID_FIELD' });
  }
});

test('flags that cannot be are a defect of the program', () => {
  for (const flags of [16, 256, -1, 0.5 + 16, ENVELOPE_FLAG.kept]) {
    assert.throws(() => seal({ name, key, record, flags }), { code: 'INTERNAL' });
  }
  assert.throws(() => seal({ name, key, record, nonce: NONE }), { code: 'INTERNAL' });
  assert.throws(() => new Pseudonymizer(key, 0), { code: 'INTERNAL' });
  assert.throws(() => new Pseudonymizer(key, 0x10000), { code: 'INTERNAL' });
});

test('a kept key sets its flag, opens the record, and can be wrapped anew', () => {
  const first = { number: 1, secret: randomKey() };
  const second = { number: 2, secret: randomKey() };
  const { header, body } = seal({ name, key, record, wrapped: first });
  assert.equal(decodeHeader(header).flags, ENVELOPE_FLAG.kept);
  const kept = unwrapKey(header, name, first);
  const rotated = Buffer.concat([
    header.subarray(0, 68),
    Buffer.of(0, 2),
    wrapKey(header, name, kept, second),
  ]);
  const opened = open(rotated, body, name, unwrapKey(rotated, name, second));
  assert.deepEqual(opened.record, record);
  assert.throws(() => unwrapKey(rotated, name, first), { code: 'ALTERED' });
});

test('weak keys are told from drawn ones', () => {
  const of = (distinct: number) => Buffer.from(Array.from({ length: 32 }, (_, i) => i % distinct));
  assert.throws(() => checkKeyStrength(of(1)), { code: 'WEAK_KEY' });
  assert.throws(() => checkKeyStrength(of(7)), { code: 'WEAK_KEY' });
  checkKeyStrength(of(8));
  checkKeyStrength(randomKey());
});

test('metadata out of bounds is not sealed', () => {
  const invalid = { code: 'INVALID_FIELD' };
  for (const contentType of ['', 'a'.repeat(256), 'a/b\n', 'a\u0085b', '\ud800']) {
    assert.throws(() => encodeMetadata({ contentType }), invalid);
  }
  for (const paddingBytes of [-1, 0.5, METADATA_BYTES_MAX - 2, 2 ** 40]) {
    assert.throws(() => encodeMetadata({ paddingBytes }), invalid);
  }
  const metadata = Buffer.alloc(METADATA_BYTES_MAX + 1);
  assert.throws(() => seal({ name, key, record, metadata }), invalid);
});

test('the most metadata fits the stated overhead, and that a frame', () => {
  const metadata = encodeMetadata({ paddingBytes: METADATA_BYTES_MAX - 3 });
  const { header, body } = seal({ name, key, record, metadata });
  assert.equal(body.length, record.length + SEAL_OVERHEAD_BYTES);
  const opened = open(header, body, name, key);
  assert.equal(decodeMetadata(opened.metadata).paddingBytes, METADATA_BYTES_MAX - 3);
  const longest = encodeHead(Buffer.alloc(2048), Buffer.alloc(118));
  assert.ok(SEAL_OVERHEAD_BYTES + longest.length + 8192 < FRAME_OVERHEAD_BYTES);
});

test('a newer form has a hint that says so', () => {
  const { header } = seal({ name, key, record });
  const newer = Buffer.from(header);
  newer[0] = 2;
  assert.throws(
    () => decodeHeader(newer),
    (thrown) => thrown instanceof EncServerError && thrown.hint.includes('newer release'),
  );
});

test('no refusal names the key, the ID or the record', () => {
  const loud = { namespace: NONE, id: Buffer.from('zaphod-beeblebrox') };
  const { header, body } = seal({ name: loud, key, record });
  const other = randomKey();
  const cut = body.subarray(1);
  for (const attempt of [
    () => open(header, body, loud, other),
    () => open(header, cut, loud, key),
  ]) {
    assert.throws(attempt, (thrown) => {
      assert.ok(thrown instanceof EncServerError);
      const said = `${thrown.describe()} ${thrown.stack} ${String(thrown.cause)}`;
      for (const secret of [key, other, loud.id]) {
        assert.ok(!said.includes(secret.toString('hex')) && !said.includes(secret.toString()));
      }
      return true;
    });
  }
});
