import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { detect } from '../../lib/protocol/detect.ts';
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
