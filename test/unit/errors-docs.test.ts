import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import { describeErrors } from '../../lib/describe-errors.ts';
import { ERRORS, EXIT } from '../../lib/errors.ts';

const PAGE = new URL('../../../docs/ERRORS.md', import.meta.url);

/** The cells of each row of the page's tables, without backquotes. */
const rows = describeErrors()
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) => line.slice(2, -2).replaceAll('`', '').split(' | '));

describe('docs/ERRORS.md', () => {
  it('is what the table of errors says', () => {
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, describeErrors());
    const hint = 'out of date: npm run docs:errors writes it anew';
    assert.equal(readFileSync(PAGE, 'utf8'), describeErrors(), hint);
  });

  it('has each error once, with all that it becomes', () => {
    for (const [code, row] of Object.entries(ERRORS)) {
      const found = rows.filter(([first]) => first === code);
      assert.equal(found.length, 1, code);
      const [, happened, hint, wire, http, grpc, exit, again] = found[0] ?? [];
      assert.match(happened ?? '', /^[a-z].*[^.]$/, code);
      assert.deepEqual(
        [wire, http, grpc, exit, again, hint],
        [
          String(row.status),
          String(row.http),
          `${row.grpc} ${status[row.grpc]}`,
          String(row.exit),
          row.retry.replace('-', ' '),
          row.hint,
        ],
      );
    }
  });

  it('has each exit code', () => {
    for (const code of Object.values(EXIT)) {
      assert.ok(rows.some(([first, , more]) => first === String(code) && more === undefined));
    }
  });
});
