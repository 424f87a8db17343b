/** One writer per audit log, also where every server is process 1 of its own container. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { it } from 'node:test';
import { findingsOf, openLog, verify, withAuditFiles } from '../helpers/audit.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { pathInRepository } from '../helpers/repository.ts';

const CHILD = pathInRepository('dist/test/helpers/audit-child.js');
const IN_NAMESPACE = ['--pid', '--fork', '--kill-child'];

function startChild(folder: string, lines: number): ChildProcess {
  const args = [...IN_NAMESPACE, process.execPath, CHILD, folder, `${lines}`];
  return spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

function cannot(): string | false {
  try {
    execFileSync('unshare', [...IN_NAMESPACE, 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no process may have its own process IDs here';
  }
}

it(
  'a second process 1 is refused, and takes over once the first was killed',
  {
    skip: cannot(),
  },
  () =>
    withAuditFiles(async (files) => {
      const first = startChild(files.folder, 1_000_000);
      await once(first.stdout as NodeJS.ReadableStream, 'data');
      try {
        const second = startChild(files.folder, 1);
        let words = '';
        second.stderr?.on('data', (chunk) => {
          words += chunk;
        });
        const [code] = await once(second, 'close');
        assert.equal(code, 1);
        assert.match(words, /FOLDER_LOCKED/);
        await rejectsWith(openLog(files), 'FOLDER_LOCKED');
      } finally {
        first.kill('SIGKILL');
        // Not `exit`: the pipe ends with the process that writes the log.
        await once(first, 'close');
      }
      assert.ok((await stat(`${files.path}.sock`)).isSocket());
      const [code] = await once(startChild(files.folder, 1), 'close');
      assert.equal(code, 0);
      const findings = findingsOf(await verify(files, { state: true }));
      assert.deepEqual(
        findings.filter((finding) => !finding.startsWith('torn')),
        [],
      );
    }),
);
