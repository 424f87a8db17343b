/** With `closed`, the system calls of a line come in the order that makes it proof. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withAuditFiles } from '../helpers/audit.ts';

const CHILD = fileURLToPath(new URL('../helpers/audit-child.js', import.meta.url));
const CALLS = 'trace=write,pwrite64,fdatasync,fsync';
const LINES = 20;

/** Where a write that has `text` in it and the sync of its file had ended; -1 if none did. */
function endOfSync(lines: readonly string[], text: string): number {
  const written = lines.findIndex((line) => line.includes('pwrite64(') && line.includes(text));
  const file = /pwrite64\((\d+)/.exec(lines[written] ?? '')?.[1];
  if (file === undefined) return -1;
  const call = new RegExp(` fdatasync\\(${file}\\b`);
  const begin = lines.findIndex((line, at) => at > written && call.test(line));
  const line = lines[begin] ?? '';
  if (!line.includes('unfinished')) return begin;
  const thread = line.split(' ')[0];
  return lines.findIndex(
    (later, at) => at > begin && later.startsWith(`${thread} `) && /sync resumed>.*= 0/.test(later),
  );
}

/** Line, its sync, state, its sync, answer. */
function isInOrder(lines: readonly string[], number: number): boolean {
  const line = endOfSync(lines, `{\\"n\\":${number},`);
  const stateText = `{\\"count\\":${number + 1},`;
  const state = endOfSync(lines, stateText);
  const stateWrite = lines.findIndex((one) => one.includes('pwrite64(') && one.includes(stateText));
  const answer = lines.findIndex((one) => one.includes(`write(1, "ack ${number}\\n"`));
  return line >= 0 && stateWrite > line && state > stateWrite && answer > state;
}

describe('a line of an audit log', () => {
  it('is synced, then the state after it, and then the operation is answered', async (t) => {
    if (spawnSync('strace', ['-V']).status !== 0) return t.skip('strace is not installed');
    await withAuditFiles(async ({ folder }) => {
      const trace = join(folder, 'trace');
      const options = ['-f', '-s', '64', '-e', CALLS, '-o', trace];
      const command = [process.execPath, CHILD, folder, String(LINES)];
      const { status, stderr } = spawnSync('strace', [...options, ...command], { timeout: 60_000 });
      assert.equal(status, 0, stderr.toString());
      const lines = (await readFile(trace, 'utf8')).split('\n');
      for (let number = 1; number <= LINES; number++) {
        assert.ok(isInOrder(lines, number), `line ${number}`);
      }
      // The check itself can fail: without the syncs, and with the answer moved to the front.
      assert.equal(
        isInOrder(
          lines.filter((line) => !/sync/.test(line)),
          3,
        ),
        false,
      );
      const answer = lines.find((line) => line.includes('"ack 3\\n"')) ?? '';
      assert.equal(isInOrder([answer, ...lines], 3), false);
    });
  });
});
