/** Changes are planted in an audit log: each is found, and named by its line. */
import assert from 'node:assert/strict';
import {
  appendFile,
  copyFile,
  readFile,
  rename,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { describe, it } from 'node:test';
import { signCheckpoint } from '../../lib/audit/checkpoint.ts';
import { readAuditKey } from '../../lib/audit/key-files.ts';
import { numberedFile } from '../../lib/audit/log-files.ts';
import {
  type AuditFiles,
  findingsOf,
  openLog,
  verify,
  withAuditFiles,
  writeLines,
} from '../helpers/audit.ts';

/** Lines 1 to 10 of the file are numbers 0 to 9: one at the start, eight, one at the end. */
const LINES = 10;

/** A closed log of ten lines. */
async function withLog(work: (files: AuditFiles) => Promise<void>): Promise<void> {
  await withAuditFiles(async (files) => {
    const audit = await openLog(files);
    await writeLines(audit, LINES - 2);
    await audit.close();
    await work(files);
  });
}

/** Changes the lines of a log, which keep their line feeds. */
async function change(files: AuditFiles, edit: (lines: string[]) => string[]): Promise<void> {
  const text = await readFile(files.path, 'latin1');
  const lines = text.split(/(?<=\n)/);
  assert.equal(lines.length, LINES);
  await writeFile(files.path, edit(lines).join(''), 'latin1');
}

/** A planted change, and all that is to be found. */
type Planted = readonly [
  title: string,
  edit: (lines: string[]) => string[],
  findings: readonly string[],
];

const at = (lines: readonly string[], index: number): string => lines[index] ?? '';
const set = (lines: readonly string[], index: number, text: string) => lines.with(index, text);

const PLANTED: readonly Planted[] = [
  ['the outcome of a line', (l) => set(l, 4, at(l, 4).replace('"ok"', '"NO"')), ['altered:5']],
  ['the caller of a line', (l) => set(l, 2, at(l, 2).replace('ab', 'cd')), ['altered:3']],
  ['the MAC of a line', (l) => set(l, 3, turned(at(l, 3), -4)), ['altered:4', 'altered:5']],
  ['a number', (l) => set(l, 6, at(l, 6).replace('"n":6', '"n":3')), ['altered:7']],
  [
    'a number far off',
    (l) => set(l, 6, at(l, 6).replace('"n":6', '"n":6000000000')),
    ['altered:7'],
  ],
  ['a line that is no JSON any more', (l) => set(l, 5, 'nothing\n'), ['altered:6']],
  [
    'two lines altered',
    (l) => set(set(l, 2, turned(at(l, 2), 30)), 7, turned(at(l, 7), 30)),
    ['altered:3', 'altered:8'],
  ],
  [
    'a line beyond recognition but for its MAC',
    (l) => set(l, 5, at(l, 5).replace('{', '(')),
    ['altered:6'],
  ],
  [
    'such a line, and the next',
    (l) => set(set(l, 5, at(l, 5).replace('{', '(')), 6, at(l, 6).replace('"ok"', '"NO"')),
    ['altered:6', 'altered:7'],
  ],
  ['a space within a line', (l) => set(l, 5, at(l, 5).replace('","', '" ,"')), ['altered:6']],
  ['the first line removed', (l) => l.slice(1), ['removed:1']],
  ['a line removed', (l) => l.toSpliced(4, 1), ['removed:5']],
  ['three lines removed', (l) => l.toSpliced(4, 3), ['removed:5']],
  ['two neighbours exchanged', (l) => set(set(l, 4, at(l, 5)), 5, at(l, 4)), ['reordered:6']],
  ['a line moved to the end', (l) => [...l.toSpliced(3, 1), at(l, 3)], ['reordered:10']],
  ['a line doubled', (l) => l.toSpliced(5, 0, at(l, 4)), ['doubled:6']],
  ['an old line again at the end', (l) => [...l, at(l, 2)], ['doubled:11']],
  ['a line from nowhere', (l) => l.toSpliced(5, 0, '{"op":"store"}\n'), ['altered:6']],
  ['a byte cut at the end', (l) => set(l, 9, at(l, 9).slice(0, -1)), ['cut:10']],
  ['half a line cut at the end', (l) => set(l, 9, at(l, 9).slice(0, 40)), ['cut:10']],
];

/** Another digit, or letter, at a place. */
function turned(line: string, place: number): string {
  const index = place < 0 ? line.length + place : place;
  const digit = line[index] === '7' ? '8' : '7';
  return `${line.slice(0, index)}${digit}${line.slice(index + 1)}`;
}

describe('an audit log', () => {
  it('holds as it was written, with its checkpoints and its state', () =>
    withLog(async (files) => {
      const verified = await verify(files, { checkpoints: true, state: true });
      assert.deepEqual(findingsOf(verified), []);
      const { count, vouched, torn, lost } = verified;
      assert.deepEqual(
        { count, vouched, torn, lost },
        { count: 10, vouched: 10, torn: 0, lost: 0 },
      );
    }));

  for (const [title, edit, findings] of PLANTED) {
    it(`tells of ${title}`, () =>
      withLog(async (files) => {
        await change(files, edit);
        assert.deepEqual(findingsOf(await verify(files)), findings);
      }));
  }

  it('tells of any byte that was changed', () =>
    withLog(async (files) => {
      const bytes = await readFile(files.path);
      for (let place = 0; place < bytes.length; place += 7) {
        const changed = Buffer.from(bytes);
        changed[place] = (changed[place] as number) ^ 1;
        await writeFile(files.path, changed);
        assert.notDeepEqual((await verify(files)).findings, [], `byte ${place}`);
      }
    }));

  it('tells of whole lines that were cut off its end, by checkpoints or by the state', () =>
    withLog(async (files) => {
      await change(files, (lines) => lines.slice(0, -2));
      assert.deepEqual(findingsOf(await verify(files)), []);
      assert.deepEqual(findingsOf(await verify(files, { checkpoints: true })), ['cut:-']);
      assert.deepEqual(findingsOf(await verify(files, { state: true })), ['cut:-']);
      await truncate(files.path, 0);
      // The checkpoints of five, and of ten.
      assert.deepEqual(findingsOf(await verify(files, { checkpoints: true })), ['cut:-', 'cut:-']);
    }));

  it('tells of a log that somebody with its verification key has written anew', () =>
    withLog(async (files) => {
      const { checkpoints, verificationKeyFile, stateFile, path } = files;
      await copyFile(checkpoints, `${checkpoints}.elsewhere`);
      // The same keys from the start: the lines are new, and prove themselves.
      const { startKey } = JSON.parse(await readFile(verificationKeyFile, 'utf8'));
      await unlink(stateFile);
      await unlink(path);
      const { StateFile } = await import('../../lib/audit/state-file.ts');
      const key = Buffer.from(startKey, 'hex');
      const start = { count: 0, key, head: Buffer.alloc(32), fileNumber: 1, offset: 0 };
      await StateFile.create(stateFile, start);
      const audit = await openLog(files);
      await writeLines(audit, LINES - 2);
      await audit.close();
      assert.deepEqual(findingsOf(await verify(files)), []);
      await rename(`${checkpoints}.elsewhere`, checkpoints);
      const findings = findingsOf(await verify(files, { checkpoints: true }));
      assert.deepEqual(findings, ['checkpoint:5', 'checkpoint:10']);
    }));

  it('tells of a checkpoint that was changed, or is of another log', () =>
    withLog(async (files) => {
      const text = await readFile(files.checkpoints, 'utf8');
      await writeFile(files.checkpoints, text.replace('"count":5', '"count":4'));
      assert.deepEqual(findingsOf(await verify(files, { checkpoints: true })), ['checkpoint:-']);
      const key = await readAuditKey(files.keyFile);
      const other = {
        log: '0'.repeat(32),
        time: '2026-01-01T00:00:00.000Z',
        count: 1,
        head: '0'.repeat(64),
      };
      const signed = signCheckpoint(other, key.signingKey);
      await writeFile(files.checkpoints, `${JSON.stringify(signed)}\n`);
      assert.deepEqual(findingsOf(await verify(files, { checkpoints: true })), ['checkpoint:-']);
    }));

  it('is not proven by the key of another log', () =>
    withLog(async (files) => {
      await withAuditFiles(async (others) => {
        const { verificationKeyFile } = others;
        const findings = findingsOf(await verify({ ...files, verificationKeyFile }));
        assert.equal(findings.length, LINES);
      });
    }));
});

describe('an audit log in several files', () => {
  const withFiles = (work: (files: AuditFiles) => Promise<void>) =>
    withAuditFiles(async (files) => {
      const audit = await openLog(files, { bytesMax: 1024 });
      await writeLines(audit, 18);
      await audit.close();
      await readFile(numberedFile(files.path, 3));
      await work(files);
    });

  it('is one chain', () =>
    withFiles(async (files) => {
      const verified = await verify(files, { checkpoints: true, state: true });
      assert.deepEqual(findingsOf(verified), []);
      assert.equal(verified.count, 20);
    }));

  it('tells of a file that is gone', () =>
    withFiles(async (files) => {
      await unlink(numberedFile(files.path, 2));
      const { findings } = await verify(files);
      assert.deepEqual(
        findings.map(({ kind, path, lineNumber }) => [kind, path, lineNumber]),
        [['removed', numberedFile(files.path, 3), 1]],
      );
    }));

  it('tells of two files that were exchanged', () =>
    withFiles(async (files) => {
      const [one, two] = [numberedFile(files.path, 1), numberedFile(files.path, 2)];
      await rename(one, `${one}.aside`);
      await rename(two, one);
      await rename(`${one}.aside`, two);
      const kinds = new Set((await verify(files)).findings.map(({ kind }) => kind));
      assert.deepEqual([...kinds], ['reordered']);
    }));

  it('tells of what was added to a file that was put aside', () =>
    withFiles(async (files) => {
      await appendFile(numberedFile(files.path, 1), '{"n":1}\n');
      const { findings } = await verify(files);
      assert.deepEqual(
        findings.map(({ kind, path }) => [kind, path]),
        [['altered', numberedFile(files.path, 1)]],
      );
    }));
});
