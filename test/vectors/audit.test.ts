/** The vectors of docs/AUDIT.md, against the code and against node:crypto as the document says. */
import assert from 'node:assert/strict';
import { createHash, createHmac, createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, it } from 'node:test';
import { isNext, NO_MAC, nextKey, parseLine, sealLine } from '../../lib/audit/chain.ts';
import { isSigned, signCheckpoint } from '../../lib/audit/checkpoint.ts';
import { pseudonymOf } from '../../lib/audit/names.ts';
import { readVectors } from '../helpers/vectors.ts';

const DOCUMENT = 'AUDIT.md';
/** What stands before the 32 bytes of a key in its DER (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

describe('the chain of docs/AUDIT.md', () => {
  const vectors = readVectors(DOCUMENT, 'line');

  it('is what the code writes, from the first line on', () => {
    const [first] = vectors;
    assert.ok(first);
    let state = { count: 0, key: first.bytes('key'), head: NO_MAC };
    for (const vector of vectors) {
      assert.deepEqual(state.key, vector.bytes('key'), vector.title);
      assert.deepEqual(state.head, vector.bytes('before'), vector.title);
      const { n, ...fields } = JSON.parse(vector.text('text'));
      assert.equal(n, state.count);
      const sealed = sealLine(state, fields);
      assert.equal(sealed.line, `${vector.text('line')}\n`);
      assert.deepEqual(sealed.state.head, vector.bytes('mac'));
      assert.deepEqual(sealed.state.key, vector.bytes('next-key'));
      state = sealed.state;
    }
    assert.equal(state.count, vectors.length);
  });

  for (const vector of vectors) {
    it(`is what the document says: ${vector.title}`, () => {
      const [key, before] = [vector.bytes('key'), vector.bytes('before')];
      const hmac = createHmac('sha256', key).update(before).update(vector.text('text'));
      assert.deepEqual(hmac.digest(), vector.bytes('mac'));
      const label = Buffer.from('enc-server-ts audit key v1\0');
      const next = createHash('sha256').update(label).update(key).digest();
      assert.deepEqual(next, vector.bytes('next-key'));
    });

    it(`is proven, and by its own key alone: ${vector.title}`, () => {
      const [key, before] = [vector.bytes('key'), vector.bytes('before')];
      const line = parseLine(Buffer.from(vector.text('line')));
      assert.ok(line);
      assert.equal(line.text.toString(), vector.text('text'));
      assert.ok(isNext(line, key, before));
      assert.ok(!isNext(line, nextKey(key), before));
      assert.ok(!isNext(line, key, Buffer.alloc(32, 1)));
    });
  }
});

describe('the pseudonyms of docs/AUDIT.md', () => {
  for (const vector of readVectors(DOCUMENT, 'name')) {
    it(vector.title, () => {
      const pseudonym = pseudonymOf(vector.bytes('name-key'), vector.bytes('bytes'));
      assert.equal(pseudonym, vector.text('pseudonym'));
    });
  }
});

describe('the checkpoints of docs/AUDIT.md', () => {
  for (const vector of readVectors(DOCUMENT, 'checkpoint')) {
    it(vector.title, () => {
      const [der, format] = [Buffer.concat([PKCS8, vector.bytes('secret-key')]), 'der'] as const;
      const secretKey = createPrivateKey({ key: der, format, type: 'pkcs8' });
      const spki = Buffer.concat([SPKI, vector.bytes('public-key')]);
      const publicKey = createPublicKey({ key: spki, format, type: 'spki' });
      const { log, time, head, signature } = Object.fromEntries(
        ['log', 'time', 'head', 'signature'].map((field) => [field, vector.text(field)]),
      ) as Record<'log' | 'time' | 'head' | 'signature', string>;
      const checkpoint = { log, time, count: vector.number('count'), head };
      assert.deepEqual(signCheckpoint(checkpoint, secretKey), { ...checkpoint, signature });
      assert.ok(isSigned({ ...checkpoint, signature }, publicKey));
      assert.ok(!isSigned({ ...checkpoint, count: checkpoint.count + 1, signature }, publicKey));
    });
  }
});
