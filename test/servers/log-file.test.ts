import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openLog } from '../../lib/log.ts';
import { openLogFile } from '../../lib/log-file.ts';

let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-file-'));
});
after(() => {
  rmSync(folder, { recursive: true });
});

const LINE = `${'x'.repeat(99)}\n`;

/** The sizes of the files of a folder, in bytes. */
function sizesIn(dir: string): number[] {
  return readdirSync(dir).map((name) => statSync(join(dir, name)).size);
}

/** A file as an earlier start has left it, last written to so many minutes ago. */
function leave(dir: string, name: string, minutesAgo: number): string {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, name);
  writeFileSync(path, LINE);
  const time = Date.now() / 1000 - minutesAgo * 60;
  utimesSync(path, time, time);
  return name;
}

/** The ID of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe('a log file that is full', () => {
  it('is followed by another, and no line is lost or torn', async () => {
    const dir = join(folder, 'full');
    const { log, close } = openLog({
      program: 'feserver',
      dir,
      fileBytesMax: 1_000,
      filesMax: 0,
      stdout: false,
      level: 'info',
    });
    for (let n = 0; n < 60; n++) log.info({ n }, 'counted');
    await close();
    assert.ok(readdirSync(dir).length > 5);
    for (const bytes of sizesIn(dir)) assert.ok(bytes <= 1_000, String(bytes));
    const numbers = readdirSync(dir).flatMap((name) => {
      const text = readFileSync(join(dir, name), 'utf8');
      assert.ok(text.endsWith('\n'));
      assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600);
      return text
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { n: number }).n);
    });
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      Array.from({ length: 60 }, (_, n) => n),
    );
  });

  it('takes a line that is longer than a file may be, alone', () => {
    const dir = join(folder, 'long');
    const { sink } = openLogFile({ dir, program: 'feserver', fileBytesMax: 150, filesMax: 0 });
    for (const line of [LINE, LINE.repeat(5), LINE]) sink.write(line);
    void sink.close();
    assert.deepEqual(
      sizesIn(dir).sort((a, b) => a - b),
      [100, 100, 500],
    );
  });

  it('goes on where no other can be opened', () => {
    const dir = join(folder, 'shut');
    const moved = join(folder, 'moved');
    const { sink } = openLogFile({ dir, program: 'feserver', fileBytesMax: 150, filesMax: 1 });
    sink.write(LINE);
    renameSync(dir, moved);
    writeFileSync(dir, 'in the way');
    sink.write(LINE);
    assert.deepEqual(sizesIn(moved), [200]);
    // Once one can, it follows.
    rmSync(dir);
    sink.write(LINE);
    void sink.close();
    assert.deepEqual(sizesIn(dir), [100]);
  });
});

describe('the number of log files', () => {
  it('is bounded while a server runs', () => {
    const dir = join(folder, 'number');
    const { sink } = openLogFile({ dir, program: 'feserver', fileBytesMax: 100, filesMax: 3 });
    for (let n = 0; n < 20; n++) sink.write(`${String(n).padStart(99)}\n`);
    void sink.close();
    const numbers = readdirSync(dir).map((name) => Number(readFileSync(join(dir, name), 'utf8')));
    assert.ok(numbers.includes(19));
    assert.equal(numbers.length, 3);
  });

  it('is bounded over starts: those last written to the longest ago go', () => {
    const dir = join(folder, 'starts');
    const pid = deadPid();
    leave(dir, `feserver.20200101-000000-${pid}.log`, 60);
    const older = leave(dir, `feserver.20200101-000000-${pid}.2.log`, 50);
    const newer = leave(dir, `feserver.20190101-000000-${pid}.log`, 40);
    const others = [
      leave(dir, `beserver.20200101-000000-${pid}.log`, 90),
      leave(dir, 'feserver.20200101-000000.log', 90),
      leave(dir, `feserver.20200101-000000-${pid}.log.gz`, 90),
    ];
    const { path, sink } = openLogFile({ dir, program: 'feserver', fileBytesMax: 0, filesMax: 3 });
    void sink.close();
    const kept = readdirSync(dir).filter((name) => join(dir, name) !== path);
    assert.deepEqual(kept.sort(), [older, newer, ...others].sort());
  });

  it('spares the file of another server that runs', async () => {
    const dir = join(folder, 'beside');
    const running = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      const spared = leave(dir, `feserver.20200101-000000-${running.pid}.log`, 60);
      leave(dir, `feserver.20200101-000000-${deadPid()}.log`, 50);
      const { sink } = openLogFile({ dir, program: 'feserver', fileBytesMax: 0, filesMax: 1 });
      void sink.close();
      const kept = readdirSync(dir);
      assert.equal(kept.length, 2);
      assert.ok(kept.includes(spared));
    } finally {
      running.kill('SIGKILL');
    }
  });
});
