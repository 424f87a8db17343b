import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { type LogOptions, openLog, silentLog } from '../../lib/log.ts';

let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-'));
});
after(() => {
  rmSync(folder, { recursive: true });
});

const UNBOUND = { fileBytesMax: 0, filesMax: 0, level: 'info' } as const;

interface Line {
  readonly [name: string]: unknown;
}

function linesOf(text: string): Line[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

function open(name: string, options: Partial<LogOptions> = {}) {
  const dir = join(folder, name);
  return openLog({ ...UNBOUND, program: 'feserver', dir, stdout: false, ...options });
}

describe('openLog', () => {
  it('writes JSON lines to a file of its own, named by program, time and process', async () => {
    const { log, file, warning, close } = open('fresh');
    log.info({ trace: 'ab12' }, 'listening');
    assert.ok(file !== undefined);
    assert.equal(warning, undefined);
    assert.match(basename(file), new RegExp(`^feserver\\.\\d{8}-\\d{6}-${process.pid}\\.log$`));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, 'fresh')).mode & 0o777, 0o700);
    const [line] = linesOf(readFileSync(file, 'utf8'));
    assert.match(String(line?.['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    const { time, ...rest } = line as Line;
    assert.deepEqual(rest, {
      level: 'info',
      program: 'feserver',
      pid: process.pid,
      trace: 'ab12',
      msg: 'listening',
    });
    await close();
  });

  it('never writes into a file that is there, however fast it is opened again', async () => {
    const first = open('again');
    const second = open('again');
    assert.notEqual(first.file, second.file);
    second.log.info('second');
    assert.equal(readFileSync(first.file as string, 'utf8'), '');
    await first.close();
    await second.close();
  });

  it('writes to standard output too, the same lines', async () => {
    const stdoutStream = new PassThrough();
    const { log, file, close } = open('both', { stdout: true, stdoutStream });
    log.warn('once');
    assert.equal(String(stdoutStream.read()), readFileSync(file as string, 'utf8'));
    await close();
  });

  it('needs neither file nor standard output', async () => {
    const { log, file, warning, close } = openLog({
      ...UNBOUND,
      program: 'beserver',
      dir: '',
      stdout: false,
    });
    assert.equal(file, undefined);
    assert.equal(warning, undefined);
    assert.equal(log.isLevelEnabled('fatal'), false);
    log.fatal('to nobody');
    await close();
  });

  it('leaves out what is below its level', async () => {
    const { log, file, close } = open('level', { level: 'warn' });
    log.info('no');
    log.warn('yes');
    assert.deepEqual(
      linesOf(readFileSync(file as string, 'utf8')).map((line) => line['msg']),
      ['yes'],
    );
    await close();
  });

  it('counts what a reader that stands still does not take, instead of keeping it', async () => {
    const stdoutStream = new PassThrough();
    const { log, close } = open('still', { stdout: true, stdoutStream });
    const words = 'x'.repeat(10_000);
    for (let times = 0; times < 300; times++) log.info(words);
    assert.ok(stdoutStream.writableLength + stdoutStream.readableLength < 1.2e6);
    const taken = linesOf(String(stdoutStream.read())).length;
    while (stdoutStream.writableLength > 0) stdoutStream.read();
    log.info('again');
    await new Promise((resolve) => setImmediate(resolve));
    const [lost, again] = linesOf(String(stdoutStream.read())).slice(-2);
    assert.deepEqual(
      [again?.['msg'], lost?.['msg']],
      ['again', 'lines before could not be written'],
    );
    assert.ok(taken > 0 && Number(lost?.['lost']) > 100);
    await close();
  });

  it('drops what is logged after it was closed', async () => {
    const stdoutStream = new PassThrough();
    const { log, file, close } = open('closed', { stdout: true, stdoutStream });
    await close();
    await close();
    log.info('late');
    assert.equal(readFileSync(file as string, 'utf8'), '');
    assert.equal(stdoutStream.read(), null);
    assert.equal(stdoutStream.listenerCount('error'), 0);
  });

  it('keeps the last line before a crash', () => {
    const module = new URL('../../lib/log.js', import.meta.url).href;
    const dir = join(folder, 'crash');
    const script = `import { openLog } from ${JSON.stringify(module)};
      const { log, file } = openLog({ program: 'beserver', dir: ${JSON.stringify(dir)},
        stdout: false, ...${JSON.stringify(UNBOUND)} });
      console.log(file);
      log.info('last words');
      process.kill(process.pid, 'SIGKILL');
      setInterval(() => {}, 1000);`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script]);
    assert.equal(child.signal, 'SIGKILL');
    const [line] = linesOf(readFileSync(String(child.stdout).trim(), 'utf8'));
    assert.equal(line?.['msg'], 'last words');
  });
});

describe('a log that cannot be written', () => {
  it('is a warning, returned and logged, when the folder is a file', async () => {
    const { file: taken, close: closeTaken } = open('taken');
    await closeTaken();
    const stdoutStream = new PassThrough();
    const dir = taken as string;
    const { file, warning, close } = open('', { dir, stdout: true, stdoutStream });
    assert.equal(file, undefined);
    assert.equal(
      warning,
      `no log file in ${dir}: EEXIST; ENC_SERVER_TS_LOG_DIR names another folder`,
    );
    const [line] = linesOf(String(stdoutStream.read()));
    assert.equal(line?.['level'], 'warn');
    assert.equal(line?.['msg'], warning);
    await close();
  });

  it('is a warning when the folder may not be written', () => {
    mkdirSync(join(folder, 'closed-folder'), { mode: 0o500 });
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.(65_534);
    try {
      assert.match(open('closed-folder').warning ?? '', /: EACCES;/);
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  it('uses a link of this user, but no folder of another', async (t) => {
    const target = open('target');
    symlinkSync(join(folder, 'target'), join(folder, 'link'));
    const { warning, close } = open('link');
    assert.equal(warning, undefined);
    await close();
    await target.close();
    if (process.getuid?.() !== 0) return t.skip('only root can give a folder away');
    const { chownSync, lchownSync } = await import('node:fs');
    symlinkSync(join(folder, 'target'), join(folder, 'planted'));
    lchownSync(join(folder, 'planted'), 65_534, 65_534);
    assert.match(open('planted').warning ?? '', /: it belongs to another user;/);
    chownSync(join(folder, 'target'), 65_534, 65_534);
    assert.match(open('target').warning ?? '', /: it belongs to another user;/);
  });

  it('outlives a standard output that nobody reads any more', async () => {
    const stdoutStream = new PassThrough();
    const { log, file, close } = open('epipe', { stdout: true, stdoutStream });
    stdoutStream.emit('error', Object.assign(new Error('broken'), { code: 'EPIPE' }));
    log.info('still here');
    assert.equal(stdoutStream.read(), null);
    assert.equal(linesOf(readFileSync(file as string, 'utf8')).length, 1);
    await close();
  });

  it('counts the lines that a full disk costs', () => {
    // A file size limit of the shell is a full disk that needs no mount.
    const module = new URL('../../lib/log.js', import.meta.url).href;
    const script = `import { openLog } from ${JSON.stringify(module)};
      import { truncateSync } from 'node:fs';
      process.on('SIGXFSZ', () => {});
      const { log, file } = openLog({ ...${JSON.stringify(UNBOUND)}, program: 'beserver', stdout: false,
        dir: ${JSON.stringify(join(folder, 'full'))} });
      for (let i = 0; i < 20; i++) log.info('x'.repeat(400));
      truncateSync(file, 0);
      log.info('room again');
      console.log(file);`;
    const limited = 'ulimit -f 4 && exec "$0" --input-type=module -e "$1"';
    // The report of a coverage run would hit the limit as well.
    const env = { ...process.env, NODE_V8_COVERAGE: '' };
    const child = spawnSync('sh', ['-c', limited, process.execPath, script], { env });
    assert.equal(child.status, 0, String(child.stderr));
    const [lost, last] = linesOf(readFileSync(String(child.stdout).trim(), 'utf8'));
    assert.equal(lost?.['msg'], 'lines before could not be written');
    assert.ok(Number(lost?.['lost']) > 5 && Number(lost?.['lost']) < 20, String(lost?.['lost']));
    assert.equal(last?.['msg'], 'room again');
  });
});

describe('silentLog', () => {
  it('has no level', () => {
    assert.equal(silentLog.isLevelEnabled('fatal'), false);
    silentLog.error({ err: new Error('unheard') }, 'unheard');
  });
});
