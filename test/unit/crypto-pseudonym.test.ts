import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import { randomBytesPooled, randomKey } from '../../lib/crypto/random.ts';

const NONE = Buffer.alloc(0);

function nameOf(id: string, namespace = '') {
  return { namespace: Buffer.from(namespace), id: Buffer.from(id) };
}

test('namespaces group store keys, and tell nothing under another entry', () => {
  const secret = randomKey();
  const first = new Pseudonymizer(secret, 1);
  const eu = first.prefix(Buffer.from('eu'));
  assert.ok(first.seal(nameOf('alice', 'eu')).storeKey.subarray(0, 11).equals(eu));
  assert.ok(first.seal(nameOf('bob', 'eu')).storeKey.subarray(0, 11).equals(eu));
  assert.ok(!first.seal(nameOf('alice')).storeKey.subarray(0, 11).equals(eu));
  const other = new Pseudonymizer(randomKey(), 1);
  assert.ok(!other.prefix(Buffer.from('eu')).equals(eu));
});

test('a store key is the same alone, whatever the length of the name', () => {
  const secret = randomKey();
  const pseudonymizer = new Pseudonymizer(secret, 3);
  for (const idBytes of [1, 12, 13, 14, 28, 29, 30, 125, 1024]) {
    const name = { namespace: Buffer.from('eu'), id: randomBytesPooled(idBytes) };
    const alone = pseudonymizer.storeKey(name);
    assert.deepEqual(pseudonymizer.seal(name).storeKey, alone);
    const { storeKey, sealedId } = new Pseudonymizer(secret, 3).seal(name);
    assert.deepEqual(storeKey, alone);
    assert.deepEqual(pseudonymizer.open(alone, sealedId), name);
  }
  assert.throws(() => pseudonymizer.storeKey(nameOf('')), { code: 'INVALID_ID' });
});

test('who changes a prefix that was given out changes nothing else', () => {
  const pseudonymizer = new Pseudonymizer(randomKey(), 1);
  const before = pseudonymizer.seal(nameOf('alice'));
  pseudonymizer.prefix(NONE).fill(0);
  before.storeKey.subarray(0, 11).fill(0);
  assert.equal(pseudonymizer.seal(nameOf('alice')).storeKey[0], 1);
});

test('more namespaces than are remembered stay right', () => {
  const secret = randomKey();
  const busy = new Pseudonymizer(secret, 7);
  for (let i = 0; i < 600; i++) busy.prefix(Buffer.from(`namespace ${i}`));
  const fresh = new Pseudonymizer(secret, 7);
  for (const i of [0, 255, 256, 257, 599]) {
    const namespace = Buffer.from(`namespace ${i}`);
    assert.deepEqual(busy.prefix(namespace), fresh.prefix(namespace));
  }
});

test('namespaces that are no UTF-8 are not mixed up', () => {
  const pseudonymizer = new Pseudonymizer(randomKey(), 1);
  const prefixes = [0x80, 0x81, 0xff].map((byte) => pseudonymizer.prefix(Buffer.of(byte)));
  assert.equal(new Set(prefixes.map((prefix) => prefix.toString('hex'))).size, 3);
});

test('random bytes are of the length asked for, and none are given twice', () => {
  const seen = new Set<string>();
  for (let i = 0; i < 1000; i++) seen.add(randomKey().toString('hex'));
  assert.equal(seen.size, 1000);
  for (const bytes of [0, 1, 24, 4095, 4096, 4097, 100_000]) {
    const fresh = randomBytesPooled(bytes);
    assert.equal(fresh.length, bytes);
    if (bytes > 16) assert.notDeepEqual(fresh, Buffer.alloc(bytes));
  }
});

test('what was taken from the pool belongs to its taker', () => {
  const first = randomKey();
  const copy = Buffer.from(first);
  for (let i = 0; i < 300; i++) randomKey().fill(0);
  assert.deepEqual(first, copy);
});
