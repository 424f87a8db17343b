/** The tree keeps its shape: short files, short functions, no circles, no drawers. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { sourcesIn } from '../helpers/import-rules.ts';
import { pathInRepository, readRepository } from '../helpers/repository.ts';
import { bigTests, importCircles, longFiles, longFunctions } from '../helpers/tree-rules.ts';

const ROOT = pathInRepository('');
const SOURCES = [...sourcesIn(ROOT, 'lib'), ...sourcesIn(ROOT, 'bin')];

/** Files that may have more than 300 lines, and why. */
const LONG_FILES: Readonly<Record<string, string>> = {
  'lib/be/client.ts': 'a public class: half of it tells people what its methods take and give',
  'lib/cli/fe-client.ts': 'eight commands, a few lines each: one list of what can be asked',
  'lib/fe/surfaces/http/schemas.ts': 'a table: what every route takes and gives',
};

/** Functions that may have more than 50 lines, and why. */
const LONG_FUNCTIONS: Readonly<Record<string, string>> = {
  'lib/config/shared-settings.ts transport': 'a table: one setting after the other',
  'lib/fe/surfaces/http/records-document.ts describeRecords': 'a table: one route after the other',
};

test('files have at most 300 lines, but for those named here', () => {
  assert.ok(SOURCES.length > 200);
  assert.deepEqual(longFiles(ROOT, SOURCES), Object.keys(LONG_FILES));
});

test('functions have at most 50 lines, but for those named here', () => {
  assert.deepEqual(longFunctions(ROOT, SOURCES), Object.keys(LONG_FUNCTIONS));
});

test('no file is loaded in order to load itself', () => {
  assert.deepEqual(importCircles(ROOT, SOURCES), []);
});

test('nothing is called after what does not fit elsewhere', () => {
  const drawers = /(?:^|[/-])(?:utils?|commons?|misc|helpers?|shared|stuff)(?:[/.-]|$)/;
  const named = SOURCES.filter((file) => drawers.test(file));
  // The settings that both servers share.
  assert.deepEqual(named, ['lib/config/shared-settings.ts']);
  for (const name of ['lib/utils.ts', 'lib/net/common/a.ts', 'lib/be/http-util.ts']) {
    assert.match(name, drawers);
  }
});

/** Fastify takes any 6.x of it, also those that refuse the Node.js that we promise. */
const HELD_BACK = ['light-my-request'];

test('every package is there for something', () => {
  const { dependencies } = JSON.parse(readRepository('package.json'));
  const imported = SOURCES.flatMap((file) => packagesOf(readRepository(file)));
  const needed = new Set([...imported, ...HELD_BACK]);
  assert.deepEqual([...needed].sort(), Object.keys(dependencies).sort());
});

test('every package in production takes the oldest Node.js that we promise', () => {
  const { engines } = JSON.parse(readRepository('package.json'));
  const { packages } = JSON.parse(readRepository('package-lock.json'));
  const oldest = /\d+\.\d+\.\d+/.exec(engines.node)?.[0] ?? '';
  const refusing = Object.entries<Locked>(packages)
    .filter(([, { dev, engines }]) => !dev && !isInRange(oldest, engines?.node ?? '*'))
    .map(([path, { version, engines }]) => `${path} ${version}: ${engines?.node}`);
  assert.deepEqual(refusing, []);
});

interface Locked {
  readonly version: string;
  readonly dev?: boolean;
  readonly engines?: { readonly node?: string };
}

/** Of the ranges of npm, those that packages write: alternatives of bounds, each from, on or any. */
function isInRange(version: string, range: string): boolean {
  return range.split('||').some((alternative) =>
    alternative
      .replaceAll(/(>=|>|<=|<|\^|~|=)\s+/g, '$1')
      .trim()
      .split(/\s+/)
      .every((bound) => isInBound(version, bound)),
  );
}

function isInBound(version: string, bound: string): boolean {
  const [, sign = '', text = ''] = /^(>=|>|<=|<|\^|~|=)?v?([\d.x*]*)$/.exec(bound) ?? [];
  assert.notEqual(`${sign}${text}`, '', `a range of another form: ${bound}`);
  const parts = text.split('.').filter((part) => /^\d+$/.test(part));
  const [ours, theirs] = [version.split('.').map(Number), parts.map(Number)];
  const shared = theirs.findIndex((part, index) => part !== ours[index]);
  const order = shared < 0 ? 0 : (ours[shared] as number) - (theirs[shared] as number);
  if (sign === '>=') return order >= 0;
  if (sign === '>') return order > 0;
  if (sign === '<') return order < 0;
  if (sign === '<=') return order <= 0;
  const fixed = sign === '^' ? 1 : sign === '~' ? 2 : theirs.length;
  return order >= 0 && theirs.slice(0, fixed).every((part, index) => part === ours[index]);
}

test('ranges are read as npm reads them', () => {
  const ranges = [
    '*',
    '20',
    '^20.19.0',
    '20.x',
    '18 || 20 || >=22',
    '>= 0.8',
    '>=20.0.0 <21',
    '~20.19',
  ];
  for (const range of ranges) assert.ok(isInRange('20.19.0', range), range);
  for (const range of ['>=22', '^18 || >=20.20', '~20.18.0', '20.19.1', '<20', '6.* || 8.*']) {
    assert.ok(!isInRange('20.19.0', range), range);
  }
});

/** The packages that a source imports, at once or later; `node:` is none. */
function packagesOf(source: string): string[] {
  const pattern = /(?:^import |\bfrom |\bimport\()'(@[\w-]+\/[\w.-]+|\w[\w.-]*)(?:\/[^']*)?'/gm;
  return [...source.matchAll(pattern)].map(([, name = '']) => name);
}

test('packages are found wherever they are imported', () => {
  const source = `import 'a';
import { b } from '@b/b/sub.js';
export type { C } from 'c.js';
const d = await import('d/e');
import { once } from 'node:events';
import { f } from './f.ts';
`;
  assert.deepEqual(packagesOf(source), ['a', '@b/b', 'c.js', 'd']);
});

test('a test in test/unit or test/vectors opens no port and starts no program', () => {
  const tests = [...sourcesIn(ROOT, 'test/unit'), ...sourcesIn(ROOT, 'test/vectors')];
  assert.ok(tests.length > 40);
  assert.deepEqual(bigTests(ROOT, tests), [], 'such tests go into test/servers');
});

/** What `look` finds in a tree of these files. */
function inTree<T>(
  files: Readonly<Record<string, string>>,
  look: (root: string, files: string[]) => T,
): T {
  const root = mkdtempSync(join(tmpdir(), 'enc-server-ts-'));
  try {
    for (const [path, source] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), source);
    }
    return look(root, Object.keys(files));
  } finally {
    rmSync(root, { recursive: true });
  }
}

const lines = (count: number) => 'f();\n'.repeat(count);

test('a file of 301 lines is found, one of 300 not', () => {
  const files = { 'lib/a.ts': lines(300), 'lib/b.ts': lines(301) };
  assert.deepEqual(inTree(files, longFiles), ['lib/b.ts']);
});

test('a function of 51 lines is found, whatever kind it is', () => {
  const body = lines(49);
  const files = {
    'lib/a.ts': `function short() {\n${lines(48)}}\nfunction long() {\n${body}}\n`,
    'lib/b.ts': `class A {\n  method() {\n${body}}\n}\nconst arrow = () => {\n${body}};\n`,
    'lib/c.ts': `on(() => {\n${body}});\n`,
  };
  assert.deepEqual(inTree(files, longFunctions), [
    'lib/a.ts long',
    'lib/b.ts method',
    'lib/b.ts arrow',
    'lib/c.ts without a name',
  ]);
});

test('a circle is found, over as many files as it takes', () => {
  const files = {
    'lib/a.ts': "import { b } from './b.ts';\n",
    'lib/b.ts': "export { c } from './net/c.ts';\n",
    'lib/net/c.ts': "import '../a.ts';\n",
    'lib/d.ts': "import { a } from './a.ts';\nimport type { E } from './e.ts';\n",
    'lib/e.ts': "import { d } from './d.ts';\nconst later = () => import('./e.ts');\n",
  };
  assert.deepEqual(inTree(files, importCircles), [['lib/a.ts', 'lib/b.ts', 'lib/net/c.ts']]);
});

test('a test is found that gets at a port by way of a helper', () => {
  const files = {
    'test/unit/a.test.ts': "import { ask } from '../helpers/ask.ts';\n",
    'test/unit/b.test.ts': "import { startBe } from '../../lib/be/server.ts';\n",
    'test/unit/c.test.ts': "import type { Socket } from 'node:net';\n",
    'test/helpers/ask.ts': "import { connect } from 'node:net';\n",
  };
  const found = inTree(files, (root, all) =>
    bigTests(
      root,
      all.filter((file) => file.endsWith('.test.ts')),
    ),
  );
  assert.deepEqual(found, [
    'test/unit/a.test.ts: node:net',
    'test/unit/b.test.ts: lib/be/server.ts',
  ]);
});
