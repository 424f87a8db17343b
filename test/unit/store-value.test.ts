import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import {
  bodyKey,
  endOfPrefix,
  expiredRange,
  expiryKey,
  keyOfExpiryKey,
} from '../../lib/store/keys.ts';
import { drawRevision } from '../../lib/store/revision.ts';
import {
  decodeValue,
  encodeValue,
  hasBodyApart,
  hasRevision,
  INLINE_BYTES_MAX,
  inlineBody,
  isExpired,
  storedHead,
  storedValue,
} from '../../lib/store/value.ts';
import { patternBytes, recordKey, value } from '../helpers/store-values.ts';

const REVISION = Buffer.from('0102030405060708', 'hex');
const KEY = recordKey(1);

describe('values in LevelDB', () => {
  it('have the bytes that are written down', () => {
    const raw = encodeValue(value('body', 0x0001_0203_0405_0607, 'top'), REVISION);
    assert.equal(
      raw.toString('hex'),
      `01${'0102030405060708'}${'0001020304050607'}${'00000004'}${'0003'}746f70626f6479`,
    );
  });

  it('are read back, the body in place up to 4 KiB and apart beyond', () => {
    for (const bodyBytes of [0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1]) {
      const body = patternBytes(bodyBytes);
      const decoded = decodeValue(encodeValue(value(body, 7, 'top'), REVISION), KEY);
      assert.equal(hasBodyApart(decoded), bodyBytes > INLINE_BYTES_MAX);
      if (!hasBodyApart(decoded)) assert.ok(inlineBody(decoded).equals(body));
      const head = { head: Buffer.from('top'), expiryMs: 7, revision: REVISION, bodyBytes };
      assert.deepEqual(storedHead(decoded), head);
      assert.deepEqual(storedValue(decoded, undefined), { ...head, body: undefined });
      assert.ok(hasRevision(decoded, REVISION));
      assert.ok(!hasRevision(decoded, Buffer.alloc(8)));
    }
  });

  it('expire at their time, and never at 0', () => {
    const at = (expiryMs: number) => decodeValue(encodeValue(value('x', expiryMs), REVISION), KEY);
    assert.ok(!isExpired(at(1000), 999));
    assert.ok(isExpired(at(1000), 1000));
    assert.ok(!isExpired(at(0), Number.MAX_SAFE_INTEGER));
    assert.equal(at(Number.MAX_SAFE_INTEGER).expiryMs, Number.MAX_SAFE_INTEGER);
  });

  it('are damaged when cut, longer, or of another format', () => {
    const raw = encodeValue(value('body', 0, 'top'), REVISION);
    const other = Buffer.from(raw);
    other[0] = 2;
    // Cut right after the head they would look like one whose body lies apart.
    const cuts = Array.from({ length: raw.length }, (_, end) => raw.subarray(0, end));
    const looksApart = raw.length - 'body'.length;
    const bad = cuts.filter((cut) => cut.length !== looksApart);
    for (const bytes of [...bad, other, Buffer.concat([raw, Buffer.from('x')])]) {
      assert.throws(
        () => decodeValue(bytes, KEY),
        (thrown) =>
          thrown instanceof EncServerError &&
          thrown.code === 'STORE_DAMAGED' &&
          thrown.message.includes(KEY.toString('hex')),
      );
    }
    assert.ok(hasBodyApart(decodeValue(raw.subarray(0, looksApart), KEY)));
  });
});

describe('keys in LevelDB', () => {
  it('end a prefix at the next one', () => {
    const ends = { '01': '02', '0100': '0101', '01ff': '02', '0100ffff': '0101' };
    for (const [prefix, end] of Object.entries(ends)) {
      assert.equal(endOfPrefix(Buffer.from(prefix, 'hex')).toString('hex'), end);
    }
  });

  it('put bodies and expiries into tables of their own, in order of time', () => {
    const key = recordKey(1);
    assert.equal(bodyKey(key).toString('hex'), `04${key.toString('hex')}`);
    assert.ok(keyOfExpiryKey(expiryKey(5, key)).equals(key));
    const times = [1, 255, 256, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
    for (const [index, ms] of times.entries()) {
      const { gte, lt } = expiredRange(ms - 1);
      assert.ok(expiryKey(ms, key).compare(lt) >= 0);
      assert.ok(expiryKey(ms, key).compare(gte) > 0);
      if (index > 0) assert.ok(expiryKey(times[index - 1] ?? 0, key).compare(lt) < 0);
    }
  });

  it('get revisions that differ, also past the end of the pool', () => {
    const revisions = Array.from({ length: 2000 }, () => drawRevision());
    assert.ok(revisions.every((revision) => revision.length === 8));
    assert.equal(new Set(revisions.map((revision) => revision.toString('hex'))).size, 2000);
  });
});
