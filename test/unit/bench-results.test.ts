import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { compare } from '../../bench/comparison.ts';
import { ratios } from '../../bench/marks.ts';
import { FORMAT, type Results, type Row, readResults } from '../../bench/results.ts';
import { linesOf } from '../../bench/tables.ts';

const CEILING = { bareSeal: 10, bareOpen: 5, seal: 13, open: 9, pseudonym: 6 };

function row(server: string, operation: string, perSecond: number, change: Partial<Row> = {}): Row {
  return {
    server,
    operation,
    bytes: 1024,
    connections: 64,
    depth: 1,
    durable: 'on disk',
    perSecond,
    least: perSecond * 0.9,
    most: perSecond * 1.1,
    p50: 500,
    p95: 900,
    p99: 1_000,
    cpu: { fe: 32, be: 40, generator: 20 },
    ...change,
  };
}

function results(rows: readonly Row[], change: Partial<Results> = {}): Results {
  return {
    format: FORMAT,
    machine: { date: '2026-01-01', cpus: '2 x some', node: 'v20' },
    ceilings: { kib: CEILING, mib: CEILING, storePerSecond: 20_000, writeMicros: 300 },
    rows,
    absent: [],
    resources: undefined,
    rounds: 3,
    seconds: 1,
    ...change,
  };
}

/** The one line that begins so. */
function lineOf(lines: readonly string[], start: string): string {
  const found = lines.filter((line) => line.startsWith(start));
  assert.equal(found.length, 1, `${start} in\n${lines.join('\n')}`);
  return found[0] ?? '';
}

describe('the results of a benchmark', () => {
  it('are held against each mark, and a peer that is not there is absent, never zero', () => {
    const lines = ratios(
      results(
        [
          row('ours', 'store', 9_000),
          row('redis', 'store', 30_000),
          row('bare pair', 'store', 15_000),
        ],
        { absent: ['postgres'] },
      ),
    );
    assert.match(lineOf(lines, "the bare pair's STORE / redis"), / 0\.50 /);
    assert.match(lineOf(lines, "the bare pair's STORE / postgres"), / absent /);
    assert.match(lineOf(lines, 'STORE, 64 callers / Redis SET'), / 0\.30 /);
    assert.match(lineOf(lines, 'STORE / PostgreSQL'), / absent /);
    assert.match(lineOf(lines, 'FE processor time of a STORE'), / 2\.00 /);
    assert.match(lineOf(lines, '10000 idle connections'), / absent /);
  });

  it('hold memory and starts against their marks', () => {
    const resources = {
      start: { nodeMs: 50, feMs: 200, beMs: 150 },
      idle: { connections: 10_000, beforeMib: 60, afterMib: 120 },
      large: { feMib: 300, beMib: 250 },
    };
    const lines = ratios(results([], { resources }));
    assert.match(lineOf(lines, 'start of fe'), / 4\.00 /);
    assert.match(lineOf(lines, 'start of be'), / 3\.00 /);
    assert.match(lineOf(lines, '10000 idle connections'), / 60\.00 /);
    assert.match(lineOf(lines, 'fe with 64 records'), / 300\.00 /);
  });

  it('show each row beside its ceiling and its peers, and who is absent', () => {
    const lines = linesOf(
      results([row('ours', 'store', 5_000), row('redis', 'store', 20_000)], {
        absent: ['postgres'],
      }),
    );
    const ours = lineOf(lines, 'ours ');
    assert.match(ours, / 0\.25 +0\.25 /);
    assert.match(lineOf(lines, 'postgres'), /absent$/);
    assert.match(lineOf(lines, '  redis:'), /on disk/);
  });

  it('are compared row by row; what the spread explains is noise', () => {
    const lines = compare(
      results([
        row('ours', 'store', 1_000),
        row('ours', 'retrieve', 1_000),
        row('echo', 'store', 1),
      ]),
      results([
        row('ours', 'store', 1_100),
        row('ours', 'retrieve', 2_000, { cpu: { fe: 10, generator: 99 } }),
        row('redis', 'store', 1),
      ]),
    );
    assert.match(lineOf(lines, 'ours, store'), /1000 +1100 +1\.10 +noise +72 +72$/);
    assert.match(lineOf(lines, 'ours, retrieve'), /1000 +2000 +2\.00 +72 +10$/);
    lineOf(lines, 'only in the old one: echo, store, 1024 B, 64 callers');
    lineOf(lines, 'only in the new one: redis, store, 1024 B, 64 callers');
  });

  describe('in a file', () => {
    let folder = '';
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-test-'));
    });
    after(() => rm(folder, { recursive: true }));

    const written = async (text: string) => {
      const path = join(folder, 'results.json');
      await writeFile(path, text);
      return path;
    };

    it('are read back', async () => {
      const all = results([row('ours', 'store', 1)]);
      assert.deepEqual(readResults(await written(JSON.stringify(all, undefined, 1))), {
        ...JSON.parse(JSON.stringify(all)),
      });
    });

    for (const [name, text] of [
      ['no JSON', 'nothing'],
      ['null', 'null'],
      ['another format', JSON.stringify({ format: FORMAT + 1, rows: [] })],
      ['no rows', JSON.stringify({ format: FORMAT })],
    ] as const) {
      it(`are refused in words: ${name}`, async () => {
        const path = await written(text);
        assert.throws(() => readResults(path), /results/);
      });
    }
  });
});
