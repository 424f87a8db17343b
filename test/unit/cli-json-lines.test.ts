import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  bytesOf,
  cutTornLine,
  labelOf,
  linesOf,
  measure,
  membersOf,
  nameOf,
  parseLine,
} from '../../lib/cli/jsonl.ts';
import { KeyLines } from '../../lib/cli/key-lines.ts';
import { LineErrors } from '../../lib/cli/line-errors.ts';
import { randomKey } from '../../lib/crypto/random.ts';
import { rejectsWith } from '../helpers/codes.ts';

let folder: string;
const at = (name: string) => join(folder, name);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-'));
});
after(async () => {
  await rm(folder, { recursive: true });
});

describe('a file of JSON lines', () => {
  it('is read line by line, empty ones passed over and counted', async () => {
    const text = Buffer.from('{"a":1}\r\n\n  \n{"a":2}\n\xff\nlast', 'latin1');
    await writeFile(at('lines'), text);
    const lines: [number, string | undefined][] = [];
    for await (const { number, text } of linesOf(at('lines'))) lines.push([number, text]);
    assert.deepEqual(lines, [
      [1, '{"a":1}'],
      [4, '{"a":2}'],
      // What is no UTF-8 is not taken for something else.
      [5, undefined],
      [6, 'last'],
    ]);
    const { digest, lines: ended } = await measure(at('lines'));
    assert.equal(ended, 5);
    assert.match(digest, /^[0-9a-f]{64}$/);
  });

  it('is FILE_ERROR where it is not there', async () => {
    await rejectsWith(measure(at('nowhere')), 'FILE_ERROR');
    await rejectsWith(cutTornLine(at('nowhere')), 'FILE_ERROR');
    await rejectsWith(linesOf(at('nowhere')).next(), 'FILE_ERROR');
  });

  it('is refused where a line is longer than any record', async () => {
    await writeFile(at('long'), 'x');
    await truncate(at('long'), 400 * 1024 * 1024);
    await rejectsWith(linesOf(at('long')).next(), 'LINE_TOO_LONG');
    await rm(at('long'));
  });

  it('loses a last line that was not written to its end, however long it is', async () => {
    for (const torn of ['', 'torn', 'x'.repeat(200_000)]) {
      await writeFile(at('torn'), `whole\n${torn}`);
      assert.equal(await cutTornLine(at('torn')), 6);
      assert.equal(await readFile(at('torn'), 'utf8'), 'whole\n');
    }
    await writeFile(at('torn'), 'nothing whole');
    assert.equal(await cutTornLine(at('torn')), 0);
    assert.equal((await stat(at('torn'))).size, 0);
  });
});

describe('a line', () => {
  it('is a JSON object, and what is none is refused without a word of it', () => {
    assert.deepEqual(parseLine('{"id":"a"}'), { id: 'a' });
    for (const text of ['', 'secret', '["secret"]', 'null', '3', '{"id":"secret"']) {
      assert.throws(
        () => parseLine(text),
        (thrown: Error & { code?: string }) =>
          thrown.code === 'INVALID_RECORD' && !thrown.message.includes('secret'),
      );
    }
  });

  it('has bytes as text, or in base64 where they are none', () => {
    for (const bytes of [Buffer.from('é'), Buffer.alloc(0), Buffer.of(0xff, 0), Buffer.of(0xc3)]) {
      assert.deepEqual(bytesOf(membersOf('id', bytes), 'id'), bytes);
    }
    assert.deepEqual(membersOf('id', Buffer.of(0xff)), { id64: '/w==' });
    assert.deepEqual(membersOf('id', undefined), {});
    assert.equal(bytesOf({}, 'id'), undefined);
    for (const line of [
      { id: 1 },
      { id: '\ud800' },
      { id64: '/w' },
      { id64: '!' },
      { id: 'a', id64: 'YQ==' },
    ]) {
      assert.throws(() => bytesOf(line, 'id'), { code: 'INVALID_RECORD' });
    }
  });

  it('names a record, and no two names are one', () => {
    const name = nameOf({ id: 'a', namespace64: '/w==' });
    assert.deepEqual(name, { id: Buffer.from('a'), namespace: Buffer.of(0xff) });
    assert.throws(() => nameOf({}), { code: 'INVALID_RECORD' });
    assert.throws(() => parseLine(undefined), { code: 'INVALID_RECORD' });
    assert.throws(() => nameOf({ id: '' }), { code: 'INVALID_ID' });
    assert.throws(() => nameOf({ id: 'a', namespace: 'n'.repeat(256) }), {
      code: 'INVALID_NAMESPACE',
    });
    const labels = [{ id: 'ab' }, { id: 'b', namespace: 'a' }, { id: 'a' }].map((line) =>
      labelOf(nameOf(line)),
    );
    assert.equal(new Set(labels).size, 3);
  });
});

describe('the keys of an import', () => {
  const DIGEST = 'ab'.repeat(32);
  const lineOf = (line: number, id: string) => ({
    line,
    id: Buffer.from(id),
    namespace: undefined,
    key: randomKey(),
  });

  it('are there again after a cut, up to the last whole line', async () => {
    const [one, two, three] = [lineOf(1, 'a'), lineOf(2, 'b'), lineOf(3, 'c')];
    const first = await KeyLines.open(at('keys'), DIGEST);
    await first.add([one, two]);
    await first.markDone(2, [2], []);
    await first.add([three]);
    await first.close();
    assert.equal((await stat(at('keys'))).mode & 0o777, 0o600);
    await appendFile(at('keys'), '{"line":4,"id":"d","key":"00');
    const again = await KeyLines.open(at('keys'), DIGEST);
    assert.equal(again.doneLine, 2);
    assert.deepEqual([...again.failed], [2]);
    // What failed may have been stored all the same: its key stays.
    assert.deepEqual(
      [...again.keys],
      [
        [2, two.key],
        [3, three.key],
      ],
    );
    await again.markDone(3, [], [2]);
    await again.close();
    const last = await KeyLines.open(at('keys'), DIGEST);
    assert.deepEqual([last.doneLine, last.failed.size, last.keys.size], [3, 0, 0]);
    await last.close();
    assert.ok(!(await readFile(at('keys'), 'utf8')).includes('"line":4'));
  });

  it('count the later of two lines of one name', async () => {
    const keys = await KeyLines.open(at('twice'), DIGEST);
    await keys.add([lineOf(1, 'a')]);
    await keys.markDone(1, [1], []);
    await keys.add([lineOf(2, 'a')]);
    await keys.close();
    const again = await KeyLines.open(at('twice'), DIGEST);
    assert.deepEqual([...again.failed], []);
    await again.close();
  });

  it('are not taken from another import, whose file stays as it is', async () => {
    await (await KeyLines.open(at('mine'), DIGEST)).close();
    await rejectsWith(KeyLines.open(at('mine'), 'cd'.repeat(32)), 'CONFLICT');
    await writeFile(at('other'), 'a shopping list\nand a torn');
    await rejectsWith(KeyLines.open(at('other'), DIGEST), 'CONFLICT');
    assert.equal(await readFile(at('other'), 'utf8'), 'a shopping list\nand a torn');
    await rejectsWith(KeyLines.open(at('no/folder'), DIGEST), 'FILE_ERROR');
    await writeFile(at('empty'), '');
    await (await KeyLines.open(at('empty'), DIGEST)).close();
    assert.match(await readFile(at('empty'), 'utf8'), /^\{"format":"enc-server-ts keys"/);
  });
});

describe('the errors of lines', () => {
  it('end a command as the first of them says', () => {
    const errors = new LineErrors();
    assert.equal(errors.exit, 0);
    errors.add({ line: 7, code: 'WRONG_KEY', message: 'no' });
    errors.add({ line: 8, code: 'UNAVAILABLE', message: 'away' });
    const exit = errors.exit;
    const other = new LineErrors();
    other.add({ line: 1, code: 'UNAVAILABLE', message: 'away' });
    assert.notEqual(exit, 0);
    assert.notEqual(other.exit, exit);
    for (let line = 0; line < 2_000; line++) other.add({ line, code: 'NONE', message: '' });
    assert.equal(other.count, 2_001);
    assert.equal(other.kept.length, 1_000);
  });
});
