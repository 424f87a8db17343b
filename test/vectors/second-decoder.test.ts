/** Every vector of docs/ENVELOPE.md, read by the second decoder, which knows only the document. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import {
  type Entry,
  findPseudonym,
  kdf,
  type Name,
  openRecord,
  openSiv,
  Refused,
  readHeader,
  readMetadata,
  readPseudonym,
  splitHead,
  unwrapKey,
} from '../helpers/second-decoder.ts';
import { readKeyring } from '../helpers/second-keyring.ts';
import { readBlocks, readVectors, type Vector } from '../helpers/vectors.ts';

/** One test for each vector of a kind. Where it says `refused`, `read` must be, with that code. */
function vectorTests(kind: string, read: (vector: Vector) => void): void {
  describe(`the second decoder: ${kind}`, () => {
    for (const vector of readVectors('ENVELOPE.md', kind)) {
      it(vector.title, () => {
        if (!vector.has('refused')) return read(vector);
        assertRefused(vector.text('refused'), () => read(vector));
      });
    }
  });
}

function assertRefused(code: string, read: () => void): void {
  assert.throws(read, (error) => error instanceof Refused && error.code === code);
}

function nameOf(vector: Vector): Name {
  return { namespace: vector.bytes('namespace'), id: vector.bytes('id') };
}

function entryOf(vector: Vector): Entry {
  return { number: vector.number('entry'), secret: vector.bytes('secret') };
}

function wrapEntryOf(vector: Vector): Entry {
  return { number: vector.number('wrap-number'), secret: vector.bytes('wrap-secret') };
}

vectorTests('kdf', (vector) => {
  const output = kdf(vector.bytes('secret'), vector.text('label'), vector.bytes('context'));
  assert.deepEqual(output, vector.bytes('output'));
});

vectorTests('aes-siv', (vector) => {
  const data = ['data-1', 'data-2', 'data-3'].filter((field) => vector.has(field));
  const text = openSiv(
    vector.bytes('key'),
    data.map((field) => vector.bytes(field)),
    vector.bytes('sealed'),
  );
  assert.deepEqual(text, vector.bytes('text'));
});

vectorTests('envelope', (vector) => {
  const header = vector.bytes('header');
  const key = vector.bytes('key');
  const opened = openRecord(header, vector.bytes('body'), nameOf(vector), key);
  assert.deepEqual(readHeader(header).nonce, vector.bytes('nonce'));
  assert.equal(opened.flags, vector.number('flags'));
  assert.equal(opened.expiryMs, vector.number('expiry-ms'));
  assert.deepEqual(opened.metadataBytes, vector.bytes('metadata'));
  assert.deepEqual(opened.record, vector.bytes('record'));
  assert.equal(readHeader(header).wrapped !== undefined, vector.has('wrap-secret'));
  if (vector.has('wrap-secret')) {
    assert.deepEqual(unwrapKey(header, nameOf(vector), [wrapEntryOf(vector)]), key);
  }
});

vectorTests('refused-envelope', (vector) => {
  openRecord(vector.bytes('header'), vector.bytes('body'), nameOf(vector), vector.bytes('key'));
});

vectorTests('refused-wrap', (vector) => {
  unwrapKey(vector.bytes('header'), nameOf(vector), [wrapEntryOf(vector)]);
});

vectorTests('metadata', (vector) => {
  const { contentType, paddingBytes } = readMetadata(vector.bytes('bytes'));
  const type = vector.has('content-type') ? vector.bytes('content-type').toString() : undefined;
  const padding = vector.has('padding') ? vector.number('padding') : undefined;
  assert.equal(contentType, type);
  assert.equal(paddingBytes, padding);
});

vectorTests('pseudonym', (vector) => {
  const name = nameOf(vector);
  const entry = entryOf(vector);
  const { storeKey, sealedId } = findPseudonym(name, entry);
  assert.deepEqual(storeKey, vector.bytes('store-key'));
  if (vector.has('sealed-id')) {
    assert.deepEqual(sealedId, vector.bytes('sealed-id'));
  } else {
    const hash = createHash('sha256').update(sealedId).digest();
    assert.equal(sealedId.length, vector.number('sealed-id-bytes'));
    assert.deepEqual(hash, vector.bytes('sealed-id-sha256'));
  }
  assert.deepEqual(readPseudonym(storeKey, sealedId, entry), name);
});

vectorTests('refused-pseudonym', (vector) => {
  readPseudonym(vector.bytes('store-key'), vector.bytes('sealed-id'), entryOf(vector));
});

vectorTests('head', (vector) => {
  const { sealedId, header } = splitHead(vector.bytes('head'));
  assert.deepEqual(sealedId, vector.bytes('sealed-id'));
  assert.deepEqual(header, vector.bytes('header'));
});

describe('the second decoder: keyring file', () => {
  const text = readBlocks('ENVELOPE.md').find(({ info }) => info === 'json keyring')?.text ?? '';

  it('opens the one of the document', () => {
    const keyring = readKeyring(Buffer.from(text));
    assert.equal(keyring.keyringId.toString('hex'), 'c0c1c2c3c4c5c6c7c8c9cacbcccdcecf');
    assert.equal(keyring.epoch, 4);
    assert.deepEqual(
      keyring.entries.map(({ number, state }) => [number, state]),
      [
        [1, 'retired'],
        [2, 'active'],
        [3, 'pending'],
      ],
    );
    assert.equal(keyring.wrapEntries[0]?.secret.length, 32);
  });

  it('refuses it once any one character is another', () => {
    const about = text.indexOf('"about"');
    const aboutEnd = text.indexOf('\n', about);
    for (let at = 0; at < text.length; at++) {
      const isSpace = /\s/.test(text.charAt(at));
      if (isSpace || (at >= about && at < aboutEnd)) continue;
      const other = text.charAt(at) === '7' ? '8' : '7';
      const file = Buffer.from(text.slice(0, at) + other + text.slice(at + 1));
      assertRefused('KEYRING_DAMAGED', () => readKeyring(file));
    }
  });
});
