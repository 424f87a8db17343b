import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { EncServerError, toEncServerError } from '../../lib/errors.ts';
import { type Logger, openLog } from '../../lib/log.ts';
import { messageOf, scrub, scrubFields } from '../../lib/log-scrub.ts';

/** Everything that is written while `use` logs. */
async function written(use: (log: Logger) => void): Promise<string> {
  const stdoutStream = new PassThrough();
  const { log, close } = openLog({
    fileBytesMax: 0,
    filesMax: 0,
    program: 'feserver',
    dir: '',
    stdout: true,
    level: 'trace',
    stdoutStream,
  });
  use(log);
  await close();
  return String(stdoutStream.read() ?? '');
}

/** Whether any of the forms in which bytes leak is in the text. */
function leaks(text: string, secret: Buffer): boolean {
  const forms = [
    secret.toString('hex'),
    secret.toString('hex').toUpperCase(),
    secret.toString('base64').replaceAll('=', ''),
    secret.toString('base64url'),
    [...secret].join(','),
    secret.toString('latin1'),
  ];
  return forms.some((form) => text.includes(form));
}

describe('what is logged', () => {
  const secret = randomBytes(32);
  const word = secret.toString('hex');

  it('never holds bytes, secrets or foreign words, however they are handed over', async () => {
    const foreign = Object.assign(new Error(`cannot read ${word}`), {
      request: secret,
      body: word,
    });
    const ours = new EncServerError('INTERNAL', 'it failed', { cause: foreign });
    const text = await written((log) => {
      log.info({ key: word, Key: word, userId: word, record: word, body: word, n: 1 }, 'fields');
      log.info({ bytes: secret, deep: { list: [secret, { token: word }] } }, 'deep');
      log.info('bytes %s and %o', secret, { key: word });
      log.child({ key: word, bytes: secret }).child({ id: word, err: foreign }).info('child');
      log.error(foreign);
      log.error({ err: foreign });
      log.error({ err: ours, cause: foreign, other: foreign }, 'all');
      log.error(toEncServerError(foreign));
      log.error({ err: new AggregateError([foreign, secret], word) });
      log.fatal({ a: { b: { c: { d: { e: { f: word } } } } } });
    });
    assert.equal(text.split('\n').length, 11);
    assert.ok(!leaks(text, secret), text);
  });

  it('is searched by a search that finds what is there', async () => {
    const text = await written((log) => {
      log.info(word);
    });
    assert.ok(leaks(text, secret));
    assert.ok(leaks(JSON.stringify({ secret }), secret));
  });

  it('tells errors by code, words and place, their causes too', async () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED ::1:8888'), {
      code: 'ECONNREFUSED',
      syscall: 'connect',
    });
    const text = await written((log) => {
      log.error(new EncServerError('UNAVAILABLE', 'no back end', { cause }));
    });
    const { msg, err } = JSON.parse(text);
    assert.equal(msg, 'no back end');
    assert.equal(err.code, 'UNAVAILABLE');
    assert.equal(err.message, 'no back end');
    assert.match(err.stack[0], /^at .*log-scrub\.test/);
    assert.equal(err.cause.code, 'ECONNREFUSED');
    assert.equal(err.cause.message, 'connect ECONNREFUSED ::1:8888');
  });
});

describe('messageOf', () => {
  it('trusts our words and the words of the system only', () => {
    assert.equal(messageOf(new EncServerError('NOT_FOUND', 'no such record')), 'no such record');
    assert.equal(messageOf(new TypeError('quotes something')), 'TypeError');
    const coded = Object.assign(new Error('quotes something'), { code: 'ERR_INVALID_ARG_VALUE' });
    assert.equal(messageOf(coded), 'Error ERR_INVALID_ARG_VALUE');
    const numbered = Object.assign(new Error('quotes something'), { code: 11000 });
    assert.equal(messageOf(numbered), 'Error 11000');
    const odd = Object.assign(new Error('x'), { name: 'has spaces', code: 'a secret' });
    assert.equal(messageOf(odd), 'Error');
  });
});

describe('scrub', () => {
  it('keeps plain values', () => {
    const plain = { trace: 'ab', n: 1, yes: true, none: null, list: [1, 'a'] };
    assert.deepEqual(scrubFields(plain), plain);
    assert.deepEqual(scrubFields({ at: new Date(0), big: 5n }), {
      at: '1970-01-01T00:00:00.000Z',
      big: '5',
    });
    assert.equal(scrub(new Date(Number.NaN)), null);
    assert.equal(scrub('words'), 'words');
  });

  it('tells bytes by their number', () => {
    assert.equal(scrub(Buffer.alloc(5)), '[5 bytes]');
    assert.equal(scrub(new Uint32Array(2)), '[8 bytes]');
    assert.equal(scrub(new ArrayBuffer(3)), '[3 bytes]');
  });

  it('ends, whatever it is given', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    assert.match(JSON.stringify(scrub(circle)), /\[deeper\]/);
    assert.equal((scrub(new Array(1000).fill(0)) as unknown[]).length, 32);
    const error = new Error('a');
    error.cause = error;
    const text = JSON.stringify(scrub(error));
    assert.equal(text.split('"cause"').length - 1, 8);
    const bare = new Error('a');
    Object.assign(bare, { stack: undefined });
    assert.deepEqual((scrub(bare) as { stack: unknown }).stack, []);
  });

  it('does not take lines of a message for the stack', () => {
    const error = new Error('first\n    at hidden (/hidden.js:1:1)');
    assert.doesNotMatch(JSON.stringify(scrub(error)), /hidden/);
  });
});
