import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Detector, detect } from '../../lib/protocol/detect.ts';
import { DETECT_BYTES_MAX } from '../../lib/protocol/limits.ts';

const line = (text: string) => Buffer.from(text, 'latin1');

describe('detect', () => {
  it('waits for the first byte, and knows nobody who says nothing', () => {
    assert.equal(detect(Buffer.alloc(0), false), undefined);
    assert.equal(detect(Buffer.alloc(0), true), 'unknown');
  });

  it('decides every first byte at once that can begin no word', () => {
    for (let byte = 0; byte < 256; byte++) {
      const isWord = /[A-Za-z0-9_-]/.test(String.fromCharCode(byte));
      const known = { 0: 'frames', 22: 'tls', 13: 'text', 10: 'text' }[byte];
      const expected = isWord ? undefined : (known ?? 'unknown');
      assert.equal(detect(Buffer.from([byte]), false), expected, `byte ${byte}`);
    }
  });

  it('waits for a line up to its bound and no further', () => {
    const text = `DELETE /${'x'.repeat(DETECT_BYTES_MAX)}`;
    assert.equal(detect(line(text.slice(0, DETECT_BYTES_MAX - 1)), false), undefined);
    assert.equal(detect(line(text.slice(0, DETECT_BYTES_MAX)), false), 'text');
    assert.equal(detect(line(`${text} HTTP/1.1\r\n`), false), 'text');
    assert.equal(detect(line(`${text} HTTP/1.1`), true), 'text');
  });

  it('takes a request line that just fits for HTTP', () => {
    const path = 'x'.repeat(DETECT_BYTES_MAX - 'DELETE / HTTP/1.1\r\n'.length);
    assert.equal(detect(line(`DELETE /${path} HTTP/1.1\r\n`), false), 'http');
    assert.equal(detect(line(`DELETE /${path}x HTTP/1.1\r\n`), false), 'text');
  });

  it('never takes what browsers send across origins for text', () => {
    // The methods that need no permission (Fetch standard, "CORS-safelisted method"), and the
    // one that asks for it.
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS']) {
      for (const target of ['/', '/STORE%20alice%20x', `/${'x'.repeat(9000)}`]) {
        const request = line(`${method} ${target} HTTP/1.1\r\n\r\nSTORE alice x\n`);
        assert.equal(detect(request, false), 'http');
      }
    }
  });

  it('decides HTTP/2 by the whole preface, byte by byte', () => {
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    for (let length = 1; length < preface.length; length++) {
      assert.equal(detect(line(preface.slice(0, length)), false), undefined, `${length} bytes`);
      assert.equal(detect(line(preface.slice(0, length)), true), 'text', `${length} bytes`);
    }
    assert.equal(detect(line(preface), false), 'http2');
  });
});

/** `bytes`, and how many of them were looked at: a method counts as looking at all it was given. */
function counted(bytes: Buffer, count: (bytes: number) => void): Buffer {
  return new Proxy(bytes, {
    get(target, name) {
      if (typeof name === 'string' && /^\d+$/.test(name)) count(1);
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        count(target.length);
        const result: unknown = Reflect.apply(value, target, args);
        return Buffer.isBuffer(result) ? counted(result, count) : result;
      };
    },
  });
}

/** None is told before its end, or the bound. */
const UNDECIDED = [
  `DELETE /${'x'.repeat(DETECT_BYTES_MAX)}`,
  `nobody ${'x '.repeat(DETECT_BYTES_MAX / 2)}`,
  `nobody ${' '.repeat(DETECT_BYTES_MAX)}`,
  `nobody ${'\r'.repeat(DETECT_BYTES_MAX)}`,
  `nobody ${' HTTP/1.1'.repeat(DETECT_BYTES_MAX / 9)}`,
];

describe('the work of detection', () => {
  it('is linear in the bytes', () => {
    for (const text of UNDECIDED) {
      for (const bytes of [64, 512, DETECT_BYTES_MAX - 1]) {
        for (const opening of [text.slice(0, bytes), `${text.slice(0, bytes - 1)}\n`]) {
          for (const ended of [false, true]) {
            let looked = 0;
            detect(
              counted(line(opening), (more) => {
                looked += more;
              }),
              ended,
            );
            assert.ok(looked <= 16 * bytes, `${looked} for ${bytes}`);
          }
        }
      }
    }
  });

  it('is linear in whatever pieces they arrive', () => {
    for (const text of UNDECIDED) {
      const opening = line(text).subarray(0, DETECT_BYTES_MAX);
      for (const piece of [1, 2, 7, 100, 1_000]) {
        const detector = new Detector();
        let told: string | undefined;
        for (let at = 0; at < opening.length; at += piece) {
          assert.equal(told, undefined);
          told = detector.push(opening.subarray(at, at + piece));
        }
        assert.equal(told, detect(opening, false));
        assert.ok(detector.head.equals(opening));
        // Up to the length of the preface they are looked at anew with each byte: 300 in all.
        const bound = 6 * opening.length + 300;
        assert.ok(detector.workBytes <= bound, `${detector.workBytes} in pieces of ${piece}`);
      }
    }
  });
});
