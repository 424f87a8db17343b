import assert from 'node:assert/strict';
import { test } from 'node:test';
import { masked, shellBlocksOf } from '../helpers/shell-blocks.ts';

const FENCE = '```';

test('blocks are found in lists too, with the section that they stand in', () => {
  const text = [
    '# Title',
    `${FENCE}sh`,
    'first',
    FENCE,
    '## One',
    `${FENCE}sh server`,
    'second',
    FENCE,
    '1. in a list',
    '',
    `   ${FENCE}sh no-run docker`,
    '   third',
    `   ${FENCE}`,
    `${FENCE}console`,
    '$ no block of ours',
    FENCE,
    '### Two',
    `${FENCE}sh`,
    'fourth',
    FENCE,
  ].join('\n');
  assert.deepEqual(
    shellBlocksOf(text).map(({ text: words, kind, section }) => [words.trim(), kind, section]),
    [
      ['first', 'run', 0],
      ['second', 'server', 1],
      ['third', 'docker', 1],
      ['fourth', 'run', 2],
    ],
  );
});

test('a block is not left out by a word that nobody knows', () => {
  for (const info of ['sh no-run', 'sh no-run because', 'sh skip', 'sh no-run docker now']) {
    assert.throws(() => shellBlocksOf(`${FENCE}${info}\nx\n${FENCE}`), /is not known/);
  }
});

test('keys and tokens are never shown', () => {
  const key = 'a1'.repeat(32);
  const token = `est_0123456789ab_${'Az-_9'.repeat(9).slice(0, 43)}`;
  const shown = masked(`key ${key} token ${token} base64 ${'QUJD'.repeat(8)} alice`);
  assert.equal(shown, 'key [hex] token [token] base64 [base64] alice');
});
