import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { StoreProcess } from '../helpers/store-process.ts';
import { withFolder } from '../helpers/store-values.ts';

const CALLS = 'trace=write,writev,pwrite64,fdatasync,fsync';

/** Line on which a sync of this file that began after `start` had ended; -1 if none did. */
function endOfSync(lines: readonly string[], start: number, file: string): number {
  const begin = lines.findIndex(
    (line, at) => at > start && new RegExp(` f(data)?sync\\(${file}\\b`).test(line),
  );
  const line = lines[begin];
  if (line === undefined || !line.includes('unfinished')) return begin;
  const thread = line.split(' ')[0] ?? '';
  return lines.findIndex(
    (later, at) => at > begin && later.startsWith(`${thread} `) && /sync resumed>.*= 0/.test(later),
  );
}

/** Whether put N was acknowledged only after the sync that covers it. */
function isInOrder(lines: readonly string[], number: number): boolean {
  const mark = `MARK-${String(number).padStart(6, '0')}`;
  const written = lines.findIndex((line) => line.includes(mark));
  const file = /(?:write|writev|pwrite64)\((\d+)/.exec(lines[written] ?? '')?.[1];
  const answered = lines.findIndex((line) => line.includes(`write(1, "ack ${number}\\n"`));
  if (written < 0 || answered < 0 || file === undefined) return false;
  const synced = endOfSync(lines, written, file);
  return synced > written && answered > synced;
}

describe('a put', () => {
  it('is acknowledged after the sync that covers it', async (t) => {
    if (spawnSync('strace', ['-V']).status !== 0) return t.skip('strace is not installed');
    await withFolder(async (folder) => {
      const trace = join(folder, 'trace');
      const strace = ['strace', '-f', '-s', '256', '-e', CALLS, '-o', trace];
      const child = new StoreProcess(['fill', join(folder, 'store'), '64'], strace);
      let lines: string[] = [];
      try {
        await child.until((said) => said.length > 30);
        lines = (await readFile(trace, 'utf8')).split('\n');
      } finally {
        await child.kill();
      }
      for (let number = 0; number < 20; number++) {
        assert.ok(isInOrder(lines, number), `put ${number}`);
      }
      // The check itself can fail: without the syncs, and with the answer moved to the front.
      const withoutSyncs = lines.filter((line) => !/sync/.test(line));
      assert.equal(isInOrder(withoutSyncs, 3), false);
      const answer = lines.find((line) => line.includes('"ack 3\\n"')) ?? '';
      assert.equal(isInOrder([answer, ...lines], 3), false);
    });
  });
});
