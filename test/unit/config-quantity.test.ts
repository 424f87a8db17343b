import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  formatDuration,
  formatSize,
  parseDurationMs,
  parseSizeBytes,
  parseWhole,
} from '../../lib/config/quantity.ts';

describe('quantities', () => {
  it('reads sizes as numbers, digits and words', () => {
    assert.equal(parseSizeBytes(8192), 8192);
    assert.equal(parseSizeBytes('8192'), 8192);
    assert.equal(parseSizeBytes(' 64 KiB '), 65_536);
    assert.equal(parseSizeBytes('8MiB'), 8_388_608);
    assert.equal(parseSizeBytes('1GiB'), 1_073_741_824);
    assert.equal(parseSizeBytes('10 B'), 10);
  });

  it('reads durations as numbers, digits and words', () => {
    assert.equal(parseDurationMs(0), 0);
    assert.equal(parseDurationMs('500ms'), 500);
    assert.equal(parseDurationMs('10s'), 10_000);
    assert.equal(parseDurationMs('10m'), 600_000);
    assert.equal(parseDurationMs('2 h'), 7_200_000);
    assert.equal(parseDurationMs('1d'), 86_400_000);
  });

  it('refuses what is ambiguous, fractional, negative or unsafe', () => {
    const bad = ['8MB', '8mib', '8 M', '1.5MiB', '-1', '+1', '1e3', '0x10', '', ' ', 'MiB', '1  B'];
    for (const raw of [...bad, '9'.repeat(16), '9007199254740992', -1, 1.5, Number.NaN, null, {}]) {
      assert.equal(parseSizeBytes(raw), undefined, `size ${raw}`);
      assert.equal(parseDurationMs(raw), undefined, `duration ${raw}`);
      assert.equal(parseWhole(raw), undefined, `whole ${raw}`);
    }
    assert.equal(parseWhole('7s'), undefined);
    assert.equal(parseWhole('1 constructor'.slice(0, 5)), undefined);
    assert.equal(parseWhole('7777'), 7777);
  });

  it('writes the largest unit that divides, which reads back as the same', () => {
    assert.equal(formatSize(8_388_608), '8 MiB');
    assert.equal(formatSize(1025), '1025 B');
    assert.equal(formatSize(0), '0 B');
    assert.equal(formatDuration(600_000), '10 m');
    assert.equal(formatDuration(1), '1 ms');
    for (const value of [0, 1, 999, 1000, 1024, 60_000, 86_400_000, 1_073_741_824]) {
      assert.equal(parseSizeBytes(formatSize(value)), value);
      assert.equal(parseDurationMs(formatDuration(value)), value);
    }
  });
});
