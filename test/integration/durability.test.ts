/** The order of system calls: a STORE is answered after the sync that covers it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  findCommand,
  finished,
  type RunningUp,
  startUp,
  talk,
  until,
} from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const CALLS = 'write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync';

/** What strace saw of one call: begun, ended or both in one line. */
interface Call {
  readonly pid: number;
  readonly text: string;
}

/** Traces both servers while `act` runs. */
async function trace(up: RunningUp, file: string, act: () => Promise<void>): Promise<Call[]> {
  const pids = ['-p', `${up.bePid}`, '-p', `${up.fePid}`];
  const args = ['-f', '-yy', '-s', '128', '-e', `trace=${CALLS}`, '-o', file, ...pids];
  const strace = spawn('strace', args, { stdio: 'pipe' });
  const done = finished(strace);
  let said = '';
  strace.stderr.on('data', (chunk) => {
    said += chunk;
  });
  await until('strace to attach', () => (said.match(/attached/g)?.length === 2 ? true : undefined));
  await act();
  strace.kill('SIGINT');
  await done;
  const lines = (await readFile(file, 'utf8')).split('\n');
  return lines.map((line) => ({ pid: Number.parseInt(line, 10), text: line }));
}

describe('the reply to a STORE', () => {
  it('is written after the fdatasync that covers it', async (t) => {
    if ((await findCommand('strace')) === undefined) {
      t.skip('strace is not installed');
      return;
    }
    const folder = await temporaryFolder();
    const up = await startUp(folder);
    let key = '';
    const calls = await trace(up, join(folder, 'trace'), async () => {
      // By text, so that the reply of the front end shows.
      key = (await talk(up.fePort, 'STORE alice hello\nQUIT\n')).toString().slice(0, 64);
    });
    await up.killAll();
    await rm(folder, { recursive: true });
    assert.match(key, /^[0-9a-f]{64}$/);

    const index = (what: string, isIt: (call: Call) => boolean, after = -1) => {
      const found = calls.findIndex((call, at) => at > after && isIt(call));
      assert.ok(found >= 0, `${what} was not seen:\n${calls.map(({ text }) => text).join('\n')}`);
      return found;
    };
    const written = index('the write to the log', ({ text }) =>
      /write.*\/db\/\d+\.log>/.test(text),
    );
    const synced = index('the sync', ({ text }) => /fdatasync.*= 0$/.test(text), written);
    const isReply = ({ text, pid }: Call) => pid === up.bePid && /write.*<TCP/.test(text);
    const replied = index('the reply of the back end', isReply);
    const answered = index('the reply of the front end', ({ text }) => text.includes(key));
    assert.ok(written < synced && synced < replied && replied < answered);
  });
});
