/**
 * The program's pseudonyms and heads against the second decoder, on random input: both find and
 * read the same ones, and refuse the same ones, forged under the right secret or damaged.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { aessiv } from '@noble/ciphers/aes.js';
import fc from 'fast-check';
import { decodeHead, encodeHead } from '../../lib/crypto/head.ts';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import {
  type Entry,
  findPseudonym,
  kdf,
  readPseudonym,
  splitHead,
} from '../helpers/second-decoder.ts';
import {
  assertRefused,
  assertSame,
  bytes,
  damage,
  entry,
  fault,
  name,
  outcome,
  rounds,
} from '../helpers/second-random.ts';

const PREFIX_BYTES = 11;
const NO_BYTES = Buffer.alloc(0);

describe('pseudonyms of the program and the second decoder', () => {
  it('are the same, and give the name back', (t) => {
    rounds(t, fc.record({ name, entry }), ({ name, entry }) => {
      const program = new Pseudonymizer(entry.secret, entry.number);
      const { storeKey, sealedId } = program.seal(name);
      assert.deepEqual(findPseudonym(name, entry), { storeKey, sealedId });
      assert.deepEqual(readPseudonym(storeKey, sealedId, entry), name);
      assert.deepEqual(program.open(storeKey, sealedId), name);
    });
  });

  it('are refused when damaged', (t) => {
    const damaged = fc.record({ name, entry, fault, inKey: fc.boolean() });
    rounds(t, damaged, ({ name, entry, fault, inKey }) => {
      const program = new Pseudonymizer(entry.secret, entry.number);
      const sealed = program.seal(name);
      const storeKey = inKey ? damage(sealed.storeKey, fault) : sealed.storeKey;
      const sealedId = inKey ? sealed.sealedId : damage(sealed.sealedId, fault);
      assertRefused(
        'ALTERED',
        () => readPseudonym(storeKey, sealedId, entry),
        () => program.open(storeKey, sealedId),
      );
    });
  });

  it('are refused when forged in another form than the one of their name', (t) => {
    const forgery = fc.record({
      entry,
      namespace: bytes(0, 40),
      id: fc.oneof(fc.constant(NO_BYTES), bytes(0, 40), bytes(0, 40)),
      namespaceBytes: fc.constantFrom(0, 0, 0, 1, -1, 200),
      idBytes: fc.constantFrom(0, 0, 0, 1, -1, 1024),
      bucket: fc.constantFrom(32, 48, 64, 128, 256, 2048),
      tail: fc.constantFrom(0, 0, 0, 1),
      elsewhere: fc.constantFrom(false, false, false, true),
    });
    const seen = { taken: 0, refused: 0 };
    rounds(t, forgery, (forged) => {
      const { entry, namespace, id, bucket } = forged;
      const text = Buffer.alloc(bucket);
      const claimed = (namespace.length + forged.namespaceBytes) & 0xff;
      const idLength = Buffer.of(0, 0);
      idLength.writeUInt16BE((id.length + forged.idBytes) & 0xffff);
      Buffer.concat([Buffer.of(claimed), namespace, idLength, id]).copy(text);
      text[bucket - 1] = (text.at(-1) ?? 0) ^ forged.tail;

      const tagged = forged.elsewhere ? Buffer.from('elsewhere') : namespace;
      const { storeKey, sealedId } = forge(text, tagged, entry);
      const program = new Pseudonymizer(entry.secret, entry.number);
      const second = outcome(() => readPseudonym(storeKey, sealedId, entry));
      assert.deepEqual(
        second,
        outcome(() => program.open(storeKey, sealedId)),
      );
      // What is taken is the one form of its name; all else is refused with one code.
      if ('code' in second) assert.equal(second.code, 'ALTERED');
      else assert.deepEqual(findPseudonym(second.value, entry), { storeKey, sealedId });
      seen['code' in second ? 'refused' : 'taken']++;
    });
    assert.ok(seen.taken > 0 && seen.refused > 0);
  });
});

describe('heads of the program and the second decoder', () => {
  it('come apart alike, damaged ones too', (t) => {
    const header = fc.constantFrom(68, 118).chain((length) => bytes(length, length));
    const claimed = fc.record(
      { atMs: fc.maxSafeNat(), reader: bytes(32, 32) },
      { noNullPrototype: true },
    );
    const claim = fc.option(claimed, { nil: undefined });
    const parts = fc.record({ name, entry, header, claim, fault });
    rounds(t, parts, ({ name, entry, header, claim, fault }) => {
      const { sealedId } = findPseudonym(name, entry);
      const head = encodeHead(sealedId, header, claim);
      assert.deepEqual(splitHead(head), { sealedId, header, claim });
      const damaged = damage(head, fault);
      assertSame(
        () => splitHead(damaged),
        () => decodeHead(damaged),
      );
    });
  });
});

/** Any text under the entry's secret, with the prefix of a namespace. */
function forge(text: Buffer, namespace: Buffer, entry: Entry) {
  const { storeKey } = findPseudonym({ namespace, id: Buffer.of(1) }, entry);
  const prefix = storeKey.subarray(0, PREFIX_BYTES);
  const sealed = Buffer.from(
    aessiv(kdf(entry.secret, 'enc-server-ts id-siv v1'), prefix).encrypt(text),
  );
  return {
    storeKey: Buffer.concat([prefix, sealed.subarray(0, 16)]),
    sealedId: sealed.subarray(16),
  };
}
