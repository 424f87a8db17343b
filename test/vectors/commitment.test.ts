/**
 * Why the envelope commits to its key: AES-256-GCM alone opens one ciphertext under two keys that
 * were derived as the envelope derives them, and the envelope does not.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openAead } from '../../lib/crypto/aead.ts';
import { open, proveKey } from '../../lib/crypto/envelope.ts';
import { contextOf } from '../../lib/crypto/header.ts';
import { deriveKey } from '../../lib/crypto/kdf.ts';
import { decodeKeyring, parseKeyringFile } from '../../lib/crypto/keyring-file.ts';
import { openProviderKey } from '../../lib/crypto/providers/provider.ts';
import {
  decodeSealedKeyring,
  encodeSealedKeyring,
  openSealedKeyring,
} from '../../lib/crypto/sealed-keyring.ts';
import { collide } from '../helpers/gcm-collision.ts';
import { readBlocks, readVectors } from '../helpers/vectors.ts';

const DOCUMENT = 'ENVELOPE.md';
const LABEL = 'enc-server-ts record v1';

for (const vector of readVectors(DOCUMENT, 'collision')) {
  describe(vector.title, () => {
    const name = { namespace: Buffer.alloc(0), id: vector.bytes('id') };
    const start = vector.bytes('header-start');
    const [key1, key2] = [vector.bytes('key-1'), vector.bytes('key-2')];
    const body = vector.bytes('body');
    const context = contextOf(start, name);
    const [derived1, derived2] = [key1, key2].map((key) => deriveKey(key, LABEL, context));
    assert.ok(derived1 && derived2);
    const nonce = start.subarray(24, 36);
    const [raw1, raw2] = [derived1.subarray(0, 32), derived2.subarray(0, 32)];

    it('is opened by AES-256-GCM alone under both derived keys, to two texts', () => {
      const text1 = openAead(raw1, nonce, context, body);
      const text2 = openAead(raw2, nonce, context, body);
      assert.deepEqual(text1, vector.bytes('text-1'));
      assert.deepEqual(text2, vector.bytes('text-2'));
      assert.notDeepEqual(text1, text2);
    });

    it('is what the construction gives for these keys', () => {
      const ciphertext = body.subarray(0, -16);
      const made = collide([raw1, raw2], nonce, context, ciphertext, 1);
      assert.deepEqual(Buffer.concat([made.ciphertext, made.tag]), body);
    });

    it('is opened by the envelope under the key that its header commits to, and no other', () => {
      const header = Buffer.concat([start, derived1.subarray(32)]);
      assert.deepEqual(open(header, body, name, key1).record, vector.bytes('record'));
      assert.throws(() => open(header, body, name, key2), { code: 'WRONG_KEY' });
      assert.throws(() => proveKey(header, name, key2), { code: 'WRONG_KEY' });
      // Committing to the other key shuts the first one out in the same way.
      const other = Buffer.concat([start, derived2.subarray(32)]);
      assert.throws(() => open(other, body, name, key1), { code: 'WRONG_KEY' });
    });
  });
}

describe('the sealed keyrings of the document', () => {
  const plain = readBlocks(DOCUMENT).find(({ info }) => info === 'json keyring');
  assert.ok(plain);
  const keyring = decodeKeyring(Buffer.from(plain.text));
  const passphrase = Buffer.from('correct horse battery staple');

  const vectors = [
    { info: 'passphrase', kind: 'passphrase', expected: keyring },
    { info: 'transit', kind: 'transit', expected: keyring },
    { info: 'legacy', kind: 'transit', expected: { ...keyring, legacy: true } },
  ] as const;
  for (const { info: name, kind, expected } of vectors) {
    it(`opens, and is written the same: ${name}`, async () => {
      const block = readBlocks(DOCUMENT).find(({ info }) => info === `json keyring-${name}`);
      assert.ok(block);
      const sealed = decodeSealedKeyring(parseKeyringFile(Buffer.from(block.text)));
      // The service's own key is not in the document: what it gives back is.
      const key =
        kind === 'passphrase'
          ? await openProviderKey(kind, sealed.how, { passphrase })
          : Buffer.from(Array.from({ length: 32 }, (_none, index) => 0x20 + index));
      assert.deepEqual(openSealedKeyring(sealed, key), expected);
      const written = encodeSealedKeyring(expected, kind, sealed.how, key, sealed.nonce);
      assert.equal(written.toString('utf8'), `${block.text}\n`);
      for (let at = 0; at < sealed.sealed.length; at++) {
        const flipped = Buffer.from(sealed.sealed);
        flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
        assert.throws(() => openSealedKeyring({ ...sealed, sealed: flipped }, key), {
          code: 'KEYRING_LOCKED',
        });
      }
      const { legacy, ...others } = sealed;
      const withOther = legacy ? others : { ...others, legacy: true as const };
      for (const changed of [{ ...sealed, epoch: 5 }, withOther]) {
        assert.throws(() => openSealedKeyring(changed, key), { code: 'KEYRING_LOCKED' });
      }
    });
  }
});
