import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  decodeHeader,
  ENVELOPE_FLAG,
  open,
  proveKey,
  type RecordName,
  type SealInput,
  seal,
} from '../../lib/crypto/envelope.ts';
import { decodeHead, encodeHead } from '../../lib/crypto/head.ts';
import { deriveKey } from '../../lib/crypto/kdf.ts';
import { decodeKeyring, encodeKeyring } from '../../lib/crypto/keyring-file.ts';
import {
  isLegacyHeader,
  legacyHeader,
  openGoId,
  openLegacy,
  sealPythonId,
} from '../../lib/crypto/legacy.ts';
import { decodeMetadata, encodeMetadata } from '../../lib/crypto/metadata.ts';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import { unwrapKey, type WrapSecret } from '../../lib/crypto/wrap.ts';
import { EncServerError } from '../../lib/errors.ts';
import { readBlocks, readVectors, type Vector } from '../helpers/vectors.ts';

const DOCUMENT = 'ENVELOPE.md';

function nameOf(vector: Vector): RecordName {
  return { namespace: vector.bytes('namespace'), id: vector.bytes('id') };
}

function wrapOf(vector: Vector): WrapSecret {
  return { number: vector.number('wrap-number'), secret: vector.bytes('wrap-secret') };
}

function sealInputOf(vector: Vector): SealInput {
  return {
    name: nameOf(vector),
    key: vector.bytes('key'),
    nonce: vector.bytes('nonce'),
    flags: vector.number('flags'),
    expiryMs: vector.number('expiry-ms'),
    metadata: vector.bytes('metadata'),
    record: vector.bytes('record'),
    ...(vector.has('wrap-secret') ? { wrapped: wrapOf(vector) } : {}),
  };
}

function assertBytes(actual: Buffer, vector: Vector, field: string): void {
  assert.equal(actual.toString('hex'), vector.bytes(field).toString('hex'), field);
}

function flip(bytes: Buffer, at: number, mask: number): Buffer {
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(flipped.readUInt8(at) ^ mask, at);
  return flipped;
}

function assertRefused(openIt: () => unknown, what: string): void {
  assert.throws(
    openIt,
    (thrown) => thrown instanceof EncServerError && ['WRONG_KEY', 'ALTERED'].includes(thrown.code),
    what,
  );
}

for (const vector of readVectors(DOCUMENT, 'kdf')) {
  test(`KDF: ${vector.title}`, () => {
    const { secret, context } = {
      secret: vector.bytes('secret'),
      context: vector.bytes('context'),
    };
    assertBytes(deriveKey(secret, vector.text('label'), context), vector, 'output');
  });
}

for (const vector of readVectors(DOCUMENT, 'envelope')) {
  const header = vector.bytes('header');
  const body = vector.bytes('body');
  const name = nameOf(vector);
  const key = vector.bytes('key');

  test(`envelope is sealed: ${vector.title}`, () => {
    const sealed = seal(sealInputOf(vector));
    assertBytes(sealed.header, vector, 'header');
    assertBytes(sealed.body, vector, 'body');
  });

  test(`envelope is opened: ${vector.title}`, () => {
    proveKey(header, name, key);
    const opened = open(header, body, name, key);
    assertBytes(opened.record, vector, 'record');
    assertBytes(opened.metadata, vector, 'metadata');
    decodeMetadata(opened.metadata);
  });

  test(`header is decoded: ${vector.title}`, () => {
    const decoded = decodeHeader(header);
    assert.equal(decoded.version, 1);
    assert.equal(decoded.suite, 1);
    assert.equal(decoded.flags, vector.number('flags'));
    assert.equal(decoded.expiryMs, vector.number('expiry-ms'));
    assertBytes(decoded.nonce, vector, 'nonce');
    const kept = (decoded.flags & ENVELOPE_FLAG.kept) !== 0;
    assert.equal(vector.has('wrap-secret'), kept);
    assert.equal(decoded.wrappedKey?.length, kept ? 48 : undefined);
    if (kept) {
      assert.equal(decoded.wrapKeyNumber, vector.number('wrap-number'));
      assertBytes(unwrapKey(header, name, wrapOf(vector)), vector, 'key');
    }
  });

  test(`any flipped byte is refused: ${vector.title}`, () => {
    // A kept key is not needed to open with the key itself: its bytes are proven by unwrapping.
    const openWhole = (changedHeader: Buffer, changedBody: Buffer) => {
      if (vector.has('wrap-secret')) {
        open(changedHeader, changedBody, name, unwrapKey(changedHeader, name, wrapOf(vector)));
      } else {
        open(changedHeader, changedBody, name, key);
      }
    };
    openWhole(header, body);
    for (const mask of [0x01, 0x80, 0xff]) {
      for (let at = 0; at < header.length; at++) {
        assertRefused(() => openWhole(flip(header, at, mask), body), `header byte ${at}`);
      }
      for (let at = 0; at < body.length; at++) {
        assertRefused(() => openWhole(header, flip(body, at, mask)), `body byte ${at}`);
      }
    }
  });

  test(`any cut is refused: ${vector.title}`, () => {
    for (let bytes = 0; bytes < header.length; bytes++) {
      assertRefused(() => open(header.subarray(0, bytes), body, name, key), `header of ${bytes}`);
    }
    for (let bytes = 0; bytes < body.length; bytes++) {
      assertRefused(() => open(header, body.subarray(0, bytes), name, key), `body of ${bytes}`);
    }
  });
}

for (const vector of readVectors(DOCUMENT, 'refused-envelope')) {
  test(`envelope is refused: ${vector.title}`, () => {
    const name = nameOf(vector);
    const openIt = () =>
      open(vector.bytes('header'), vector.bytes('body'), name, vector.bytes('key'));
    assert.throws(openIt, { code: vector.text('refused') });
  });
}

for (const vector of readVectors(DOCUMENT, 'refused-wrap')) {
  test(`kept key is refused: ${vector.title}`, () => {
    const unwrap = () => unwrapKey(vector.bytes('header'), nameOf(vector), wrapOf(vector));
    assert.throws(unwrap, { code: vector.text('refused') });
  });
}

for (const vector of readVectors(DOCUMENT, 'family-record')) {
  test(`record of the family: ${vector.title}`, () => {
    const [key, header, body] = [vector.bytes('key'), legacyHeader(), vector.bytes('body')];
    assertBytes(header, vector, 'header');
    assertBytes(openLegacy(body, key), vector, 'record');
    assert.ok(isLegacyHeader(header));
    assert.equal(decodeHeader(header).flags, ENVELOPE_FLAG.legacy);
    for (let at = 0; at < body.length; at++) {
      assert.throws(() => openLegacy(flip(body, at, 1), key), { code: 'WRONG_KEY' });
    }
    assert.throws(() => openLegacy(body, flip(key, 0, 1)), { code: 'WRONG_KEY' });
    assert.throws(() => openLegacy(body.subarray(0, 27), key), { code: 'ALTERED' });
    assert.throws(() => openLegacy(body, key.subarray(1)), { code: 'INVALID_KEY' });
    const name = { namespace: Buffer.alloc(0), id: Buffer.from('alice') };
    const today = Buffer.alloc(32, 7);
    assert.throws(() => open(header, body, name, today), { code: 'ALTERED' });
    assert.throws(() => proveKey(header, name, today), { code: 'ALTERED' });
    assert.throws(() => decodeHeader(flip(header, 2, 1)), { code: 'ALTERED' });
  });
}

for (const vector of readVectors(DOCUMENT, 'family-id')) {
  test(`ID of the family: ${vector.title}`, () => {
    const [id, pseudonym] = [vector.bytes('id'), vector.bytes('pseudonym')];
    const nonce = vector.bytes('id-nonce');
    if (vector.has('key')) {
      assertBytes(sealPythonId(id, vector.bytes('key'), nonce), vector, 'pseudonym');
      return;
    }
    const key = vector.bytes('id-key');
    assertBytes(openGoId(pseudonym, { key, nonce }) ?? Buffer.alloc(0), vector, 'id');
    for (let at = 0; at < pseudonym.length; at++) {
      assert.equal(openGoId(flip(pseudonym, at, 1), { key, nonce }), undefined);
    }
    assert.equal(openGoId(pseudonym, { key: flip(key, 0, 1), nonce }), undefined);
  });
}

for (const vector of readVectors(DOCUMENT, 'metadata')) {
  test(`metadata: ${vector.title}`, () => {
    const bytes = vector.bytes('bytes');
    if (vector.has('refused')) {
      assert.throws(() => decodeMetadata(bytes), { code: vector.text('refused') });
      return;
    }
    const decoded = decodeMetadata(bytes);
    assert.deepEqual(decoded, {
      ...(vector.has('content-type')
        ? { contentType: vector.bytes('content-type').toString('utf8') }
        : {}),
      ...(vector.has('padding') ? { paddingBytes: vector.number('padding') } : {}),
    });
    const skipped = vector.text('name') === 'an unknown type that may be skipped';
    if (!skipped) assertBytes(encodeMetadata(decoded), vector, 'bytes');
  });
}

for (const vector of readVectors(DOCUMENT, 'pseudonym')) {
  test(`pseudonym: ${vector.title}`, () => {
    const pseudonymizer = new Pseudonymizer(vector.bytes('secret'), vector.number('entry'));
    const name = nameOf(vector);
    const { storeKey, sealedId } = pseudonymizer.seal(name);
    assertBytes(storeKey, vector, 'store-key');
    if (vector.has('sealed-id')) {
      assertBytes(sealedId, vector, 'sealed-id');
    } else {
      assert.equal(sealedId.length, vector.number('sealed-id-bytes'));
      const digest = createHash('sha256').update(sealedId).digest();
      assertBytes(digest, vector, 'sealed-id-sha256');
    }
    assert.deepEqual(pseudonymizer.open(storeKey, sealedId), name);
    assert.deepEqual(storeKey.subarray(0, 11), pseudonymizer.prefix(name.namespace));
  });
}

for (const vector of readVectors(DOCUMENT, 'refused-pseudonym')) {
  test(`pseudonym is refused: ${vector.title}`, () => {
    const pseudonymizer = new Pseudonymizer(vector.bytes('secret'), vector.number('entry'));
    const openIt = () => pseudonymizer.open(vector.bytes('store-key'), vector.bytes('sealed-id'));
    assert.throws(openIt, { code: vector.text('refused') });
  });
}

for (const vector of readVectors(DOCUMENT, 'head')) {
  test(`head: ${vector.title}`, () => {
    const head = vector.bytes('head');
    if (vector.has('refused')) {
      assert.throws(() => decodeHead(head), { code: vector.text('refused') });
      return;
    }
    const { sealedId, header } = decodeHead(head);
    assertBytes(sealedId, vector, 'sealed-id');
    assertBytes(header, vector, 'header');
    assertBytes(encodeHead(sealedId, header), vector, 'head');
  });
}

test('the keyring of the document is read, and written the same', () => {
  const block = readBlocks(DOCUMENT).find(({ info }) => info === 'json keyring');
  assert.ok(block);
  const keyring = decodeKeyring(Buffer.from(block.text));
  assert.equal(keyring.keyringId.toString('hex'), 'c0c1c2c3c4c5c6c7c8c9cacbcccdcecf');
  assert.equal(keyring.epoch, 4);
  assert.deepEqual(
    keyring.entries.map(({ number, state, secret }) => [number, state, secret[0]]),
    [
      [1, 'retired', 0x40],
      [2, 'active', 0x60],
      [3, 'pending', 0x10],
    ],
  );
  assert.deepEqual(keyring.wrapEntries[0]?.secret.subarray(0, 2), Buffer.of(0x80, 0x81));
  assert.equal(encodeKeyring(keyring).toString('utf8'), `${block.text}\n`);
});

test("the document's checksum lines have the document's checksum", () => {
  const blocks = readBlocks(DOCUMENT);
  const lines = blocks.find(
    ({ text }) => text.startsWith('enc-server-ts keyring\nversion 1\n') && !text.includes('<'),
  );
  const keyring = blocks.find(({ info }) => info === 'json keyring');
  assert.ok(lines && keyring);
  const digest = createHash('sha256').update(`${lines.text}\n`).digest('hex');
  assert.ok(keyring.text.includes(digest));
});
