import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import {
  BE_HELP,
  errorLine,
  FE_HELP,
  LineDecoder,
  parseBeLine,
  parseFeLine,
  recordLine,
} from '../../lib/protocol/text.ts';

function linesOf(chunks: readonly Buffer[], lineBytesMax = 1000): string[] {
  const decoder = new LineDecoder(lineBytesMax);
  const lines: string[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let line = decoder.next(); line !== undefined; line = decoder.next()) {
      lines.push(line.toString());
    }
  }
  for (let line = decoder.end(); line !== undefined; line = decoder.end()) lines.push(`${line}<`);
  assert.equal(decoder.bufferedBytes, 0);
  return lines;
}

describe('LineDecoder', () => {
  it('gives the same lines wherever the bytes are cut', () => {
    const bytes = Buffer.from('PING\r\n\nSTORE alice a\rb\r\r\nlast');
    const expected = ['PING', '', 'STORE alice a\rb\r', 'last<'];
    for (let cut = 0; cut <= bytes.length; cut++) {
      assert.deepEqual(linesOf([bytes.subarray(0, cut), bytes.subarray(cut)]), expected);
    }
    assert.deepEqual(linesOf([...bytes].map((byte) => Buffer.from([byte]))), expected);
  });

  it('counts the rest as a line at the end, with or without a CR, unless it is empty', () => {
    assert.deepEqual(linesOf([Buffer.from('PING')]), ['PING<']);
    assert.deepEqual(linesOf([Buffer.from('PING\r')]), ['PING<']);
    assert.deepEqual(linesOf([Buffer.from('PING\n')]), ['PING']);
    assert.deepEqual(linesOf([]), []);
  });

  it('gives whole lines out at the end too', () => {
    const decoder = new LineDecoder(100);
    decoder.push(Buffer.from('one\ntwo'));
    assert.equal(decoder.end()?.toString(), 'one');
    assert.equal(decoder.end()?.toString(), 'two');
    assert.equal(decoder.end(), undefined);
  });

  it('takes a line of the maximum, refuses one byte more, and stays in error', () => {
    assert.deepEqual(linesOf([Buffer.from('12345678\n')], 8), ['12345678']);
    for (const text of ['123456789', '123456789\n', '12345678\r\n']) {
      const decoder = new LineDecoder(8);
      decoder.push(Buffer.from(text));
      assert.throws(() => decoder.next(), { code: 'LINE_TOO_LONG' });
      decoder.push(Buffer.from('PING\n'));
      assert.equal(decoder.bufferedBytes, 0);
      assert.throws(() => decoder.next(), { code: 'LINE_TOO_LONG' });
      assert.throws(() => decoder.end(), { code: 'LINE_TOO_LONG' });
    }
  });

  it('searches every byte once, however the bytes arrive', (context) => {
    const search = Buffer.prototype.indexOf;
    let searchedBytes = 0;
    context.mock.method(Buffer.prototype, 'indexOf', function (this: Buffer, value: number) {
      const found = search.call(this, value);
      searchedBytes += found === -1 ? this.length : found + 1;
      return found;
    });
    const bytes = Buffer.from(`${'x'.repeat(20_000)}\n`.repeat(3));
    const decoder = new LineDecoder(30_000);
    let lines = 0;
    for (let at = 0; at < bytes.length; at++) {
      decoder.push(bytes.subarray(at, at + 1));
      if (decoder.next() !== undefined) lines++;
    }
    assert.equal(lines, 3);
    assert.equal(searchedBytes, bytes.length);
  });
});

describe('parseFeLine', () => {
  const parse = (text: string) => parseFeLine(Buffer.from(text));

  it('bounds the ID, and says how long it was', () => {
    assert.equal(parse(`STORE ${'i'.repeat(1024)} x`).verb, 'STORE');
    for (const text of [`STORE ${'i'.repeat(1025)} x`, `DELETE ${'i'.repeat(1025)}`]) {
      assert.throws(() => parse(text), { code: 'INVALID_ID', message: /1025/ });
    }
  });

  it('says that verbs are upper case, but only of verbs', () => {
    assert.throws(() => parse('retrieve64 alice'), {
      code: 'UNKNOWN_VERB',
      hint: 'verbs are upper case: RETRIEVE64',
    });
    assert.throws(() => parse('GET / HTTP/1.1'), { code: 'UNKNOWN_VERB', hint: 'try HELP' });
  });

  it('shows how to write what lacks a part', () => {
    assert.throws(() => parse('RETRIEVE alice'), {
      code: 'MISSING_FIELD',
      hint: 'write RETRIEVE <id> <key>',
    });
    assert.throws(() => parse('STORE alice'), { code: 'MISSING_FIELD', hint: /empty record/ });
  });

  it('never shows what was in the line', () => {
    const secret = 'Sup3rS3cr3t';
    const lines = [
      secret,
      `${secret} x`,
      `STORE ${secret}`,
      `STORE ${secret} \u0001`,
      `STORE64 alice ${secret}!`,
      `RETRIEVE ${secret}`,
      `RETRIEVE alice ${secret}`,
      `RETRIEVE alice ${secret} ${secret}`,
      `DELETE ${secret.repeat(100)}`,
      `PING ${secret}`,
    ];
    for (const line of lines) {
      assert.throws(
        () => parse(line),
        (error) => error instanceof EncServerError && !error.describe().includes(secret),
        line,
      );
    }
  });

  it('keeps the record as it is, without a copy', () => {
    const line = Buffer.from('STORE alice  a record ');
    const parsed = parseFeLine(line);
    assert.ok(parsed.verb === 'STORE');
    assert.equal(parsed.record.toString(), ' a record ');
    assert.equal(parsed.record.buffer, line.buffer);
  });

  it('does not mind a line of many spaces', () => {
    assert.throws(() => parse(`DELETE alice ${' '.repeat(100_000)}x`), { code: 'INVALID_LINE' });
    assert.equal(parse(`DELETE alice${' '.repeat(100_000)}`).verb, 'DELETE');
  });
});

describe('parseBeLine', () => {
  it('takes tokens of 4096 bytes', () => {
    const line = (length: number) => Buffer.from(`RETRIEVE ${'a'.repeat(length)}`);
    assert.equal(parseBeLine(line(4096)).verb, 'RETRIEVE');
    assert.throws(() => parseBeLine(line(4097)), { code: 'INVALID_ID' });
  });
});

describe('recordLine', () => {
  it('writes a line of text as it is', () => {
    for (const text of ['hello', '', 'a\tb', ' spaces ', 'ERRO', 'error', 'naïve 漢字 🗝']) {
      assert.equal(recordLine(Buffer.from(text)).toString(), `${text}\n`);
    }
  });

  it('refuses what is no line, what moves a cursor, and what looks like a failure', () => {
    const refused = [
      'a\nb',
      'a\r',
      '\u001b[31m',
      '\u0000',
      '\u007f',
      '\u0085',
      '\u009b',
      'ERROR',
      'ERRORS',
    ];
    for (const text of refused) {
      assert.throws(
        () => recordLine(Buffer.from(text)),
        { code: 'NOT_TEXT' },
        JSON.stringify(text),
      );
    }
    // Not UTF-8: a lone byte, a cut character, one written too long, a surrogate.
    for (const bytes of ['ff', 'c2', 'c3', 'e28a', 'c080', 'eda080', 'f4908080']) {
      assert.throws(() => recordLine(Buffer.from(bytes, 'hex')), { code: 'NOT_TEXT' }, bytes);
    }
  });

  it('writes U+00A0, the first character behind the controls', () => {
    assert.equal(recordLine(Buffer.from('\u00a0')).toString(), '\u00a0\n');
  });
});

describe('errorLine', () => {
  it('is ERROR, the code, the words and the hint', () => {
    const error = new EncServerError('NOT_FOUND', 'there is no such record', { hint: 'look' });
    assert.equal(errorLine(error).toString(), 'ERROR NOT_FOUND there is no such record; look\n');
  });

  it('is one line, whatever the words', () => {
    const line = errorLine(new EncServerError('INTERNAL', 'a\r\nb\u0085c\u001b[2J')).toString();
    assert.match(line, /^ERROR INTERNAL a b c \[2J; [^\n]*\n$/);
  });
});

describe('the help lines', () => {
  it('are lines, and name every verb', () => {
    const names = (help: string, verbs: string[]) => verbs.every((verb) => help.includes(verb));
    assert.ok(recordLine(Buffer.from(FE_HELP)));
    assert.ok(recordLine(Buffer.from(BE_HELP)));
    const both = ['STORE <', 'RETRIEVE <', 'DELETE <', 'PING', 'INFO', 'QUIT'];
    assert.ok(names(BE_HELP, both));
    assert.ok(names(FE_HELP, [...both, 'STORE64', 'RETRIEVE64']));
  });
});
