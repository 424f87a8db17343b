/** What limits per address count by. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkOf, plainAddress } from '../../lib/access.ts';

const NETWORKS: readonly [address: string, network: string][] = [
  ['192.0.2.1', '192.0.2.1'],
  ['', ''],
  ['::1', '0:0:0:0::/64'],
  ['::', '0:0:0:0::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:db8:0:0:ffff:ffff:ffff:ffff', '2001:db8:0:0::/64'],
  ['2001:0DB8:0:0::', '2001:db8:0:0::/64'],
  ['2001:db8:0:1::', '2001:db8:0:1::/64'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:3:4:5::', '2001:db8:1:2::/64'],
  ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
];

for (const [address, network] of NETWORKS) {
  test(`${address || 'no address'} counts as ${network || 'none'}`, () => {
    assert.equal(networkOf(address), network);
  });
}

test('an IPv4 address has one form', () => {
  assert.equal(plainAddress('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(plainAddress('::FFFF:192.0.2.1'), '192.0.2.1');
  assert.equal(plainAddress('::ffff'), '::ffff');
});
