/** What the documents say of the tree is so: files, rooms, and the lines to change at first. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { describe, it } from 'node:test';
import { LEVEL_OF_ROOM } from '../helpers/import-rules.ts';
import { filesUnder, pathInRepository, readRepository } from '../helpers/repository.ts';

const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'examples/README.md',
  ...filesUnder('docs').filter((path) => path.endsWith('.md')),
];

/**
 * The sources and documents that a text names, as paths from the root: sources of `lib` may stand
 * without it. What is to be made has NAME in it.
 */
function filesNamedIn(text: string): string[] {
  const quoted = [...text.matchAll(/`([\w.-]+(?:\/[\w.-]+)+\.(?:ts|md))`/g)].map(
    ([, path]) => path,
  );
  return (quoted as string[]).filter((path) => !/\bNAME\b/.test(path));
}

const isThere = (path: string) => existsSync(pathInRepository(path));

describe('the documents', () => {
  it('name files that there are', () => {
    let named = 0;
    for (const document of DOCUMENTS) {
      for (const path of filesNamedIn(readRepository(document))) {
        named++;
        assert.ok(isThere(path) || isThere(`lib/${path}`), `${document} names ${path}`);
      }
    }
    assert.ok(named > 100);
  });

  it('lead to files that there are', () => {
    let links = 0;
    for (const document of DOCUMENTS) {
      for (const [, path = ''] of readRepository(document).matchAll(/\]\((?!\w+:)([^)#]+)/g)) {
        links++;
        assert.ok(isThere(posix.join(dirname(document), path)), `${document} leads to ${path}`);
      }
    }
    assert.ok(links > 50);
  });

  it('would be found out', () => {
    const text = 'See `net/nowhere.ts` and `lib/errors.ts`, `lib/cli/NAME.ts`, `fe/keyring.json`.';
    assert.deepEqual(filesNamedIn(text), ['net/nowhere.ts', 'lib/errors.ts']);
    assert.ok(!isThere('lib/net/nowhere.ts'));
  });
});

describe('docs/ARCHITECTURE.md', () => {
  it('has the rooms and levels that the imports are held to', () => {
    const rows = readRepository('docs/ARCHITECTURE.md').matchAll(/^\| (\d) \| ([^|]+) \|/gm);
    const levels = [...rows].flatMap(([, level, rooms = '']) =>
      [...rooms.matchAll(/`([^`]+?)\/?`/g)].map(([, room]) => [room, Number(level)] as const),
    );
    assert.deepEqual(Object.fromEntries(levels), LEVEL_OF_ROOM);
  });

  it('counts the files that something new goes into', () => {
    const text = readRepository('docs/ARCHITECTURE.md');
    const rows = [...text.matchAll(/^\| ([a-z][^|]*) \| ([^|]+) \| (\d) \|$/gm)];
    assert.equal(rows.length, 8);
    for (const [, what, places = '', number] of rows) {
      // What is generated comes after a semicolon, and remarks stand in parentheses.
      const parts = places
        .replace(/;.*/, '')
        .replaceAll(/\([^)]*\)/g, '')
        .split(', ');
      const files = parts.map((part) => Math.max(1, part.split('`').length >> 1));
      assert.equal(
        files.reduce((sum, count) => sum + count),
        Number(number),
        what,
      );
    }
  });
});

/** The diffs of a document: of each file, runs of lines as they are before and after. */
function hunksOf(text: string): { path: string; before: string; after: string }[] {
  const blocks = text.matchAll(/^( *)```diff\n([\s\S]*?\n)\1```/gm);
  return [...blocks].flatMap(([, indent = '', block = '']) => {
    const lines = block.split('\n').map((line) => line.slice(indent.length));
    const [, path = ''] = /^--- (\S+)$/.exec(lines.shift() ?? '') ?? [];
    const hunks = lines
      .join('\n')
      .split(/^@@.*\n/m)
      .slice(1);
    return hunks.map((hunk) => ({
      path,
      before: keeping(hunk, /^[ -]/),
      after: keeping(hunk, /^[ +]/),
    }));
  });
}

function keeping(hunk: string, kept: RegExp): string {
  const lines = hunk.split('\n').filter((line) => kept.test(line));
  return lines.map((line) => `${line.slice(1)}\n`).join('');
}

describe('CONTRIBUTING.md', () => {
  it('changes lines that there are', () => {
    const hunks = hunksOf(readRepository('CONTRIBUTING.md'));
    assert.equal(hunks.length, 2);
    for (const { path, before, after } of hunks) {
      const source = readRepository(path);
      const places = source.split(before).length + source.split(after).length - 2;
      // Whoever tries it out has the lines after it.
      assert.equal(places, 1, `${path} should have once:\n${before}`);
    }
  });

  it('would be found out', () => {
    const text =
      '  ```diff\n  --- lib/a.ts\n  @@\n   one\n  -two\n  +three\n  @@\n   four\n  ```\n';
    assert.deepEqual(hunksOf(text), [
      { path: 'lib/a.ts', before: 'one\ntwo\n', after: 'one\nthree\n' },
      { path: 'lib/a.ts', before: 'four\n', after: 'four\n' },
    ]);
  });
});
