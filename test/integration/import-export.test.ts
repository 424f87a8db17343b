/** Many records from a file and back: whole, cut off, with broken lines, and in the wrong order. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  cleanEnv,
  pathOf,
  type RunningUp,
  run,
  runCommand,
  startUp,
  until,
} from '../helpers/programs.ts';

let folder: string;
let up: RunningUp;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-bulk-'));
  up = await startUp(join(folder, 'data'));
});
after(async () => {
  await up.killAll();
  await rm(folder, { recursive: true, force: true });
});

async function feClient(...args: string[]) {
  const { code, stdout, stderr } = await run('fe-client', [...args, ...up.toFe]);
  return { code, stdout: stdout.toString(), stderr };
}

const file = (name: string) => join(folder, name);
const linesOf = async (name: string) =>
  (await readFile(file(name), 'utf8'))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** What an export wrote, without its head. */
const recordsOf = async (name: string) =>
  (await linesOf(name)).slice(1).map(({ line, ...rest }) => rest);

async function writeLines(name: string, lines: readonly unknown[]): Promise<void> {
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  await writeFile(file(name), `${text.join('\n')}\n`);
}

test('records come back as they were; a broken line is named, and exit codes tell', async () => {
  const records = [
    { id: 'alice', record: 'hello' },
    { id64: '/w==', record64: 'AAECAw==', namespace: 'n', contentType: 'image/x' },
    { id: 'bob', record: '', expires: '2099-01-01T00:00:00.000Z' },
    { id: 'large', record64: Buffer.alloc(3 * 1024 * 1024, 7).toString('base64') },
  ];
  await writeLines('in.jsonl', [
    records[0],
    'no json',
    records[1],
    { id: 'x' },
    ...records.slice(2),
  ]);
  const imported = await feClient('import', file('in.jsonl'), '--keys-out', file('keys.jsonl'));
  assert.equal(imported.code, 2);
  assert.equal(imported.stdout, 'stored 4 records, 2 failed\n');
  assert.match(imported.stderr, /line 2: INVALID_RECORD .*\n.*line 4: INVALID_RECORD/);
  assert.ok(!imported.stderr.includes('no json'));
  assert.equal((await stat(file('keys.jsonl'))).mode & 0o777, 0o600);
  const exported = await feClient('export', file('keys.jsonl'), '--out', file('out.jsonl'));
  assert.equal(exported.code, 0, exported.stderr);
  const out = await recordsOf('out.jsonl');
  const same = { ...records[1], record: '\u0000\u0001\u0002\u0003' } as Record<string, string>;
  delete same['record64'];
  assert.deepEqual(out.slice(0, 3), [records[0], same, records[2]]);
  assert.equal(Buffer.from(out[3].record ?? out[3].record64, 'utf8').length, 3 * 1024 * 1024);
  const listed = await feClient('list', '--namespace', 'n');
  assert.equal(listed.stdout, '%ff\n');
  assert.deepEqual((await feClient('list')).stdout.trim().split('\n').sort(), [
    'alice',
    'bob',
    'large',
  ]);
});

test('a line with an unknown member is not stored without what it says', async () => {
  await writeLines('odd.jsonl', [
    { id: 'odd 1', record: 'x', ttl: 60 },
    { id: 'odd 2', record: 'x', Expires: '2099-01-01T00:00:00Z' },
    { id: 'odd 3', record: 'x', onece: true },
    { id: 'even', record: 'x', expires: '2099-01-01T00:00:00Z', once: true, contentType: 'a/b' },
  ]);
  const args = ['import', file('odd.jsonl'), '--keys-out', file('odd.keys')];
  const { code, stdout, stderr } = await feClient(...args);
  assert.equal(stdout, 'stored 1 records, 3 failed\n');
  assert.equal(code, 1);
  assert.equal(stderr.match(/line [123]: UNKNOWN_FIELD/g)?.length, 3);
  // All that an export writes is known.
  assert.equal((await feClient('export', file('odd.keys'), '--out', file('odd.out'))).code, 0);
  assert.equal((await linesOf('odd.out')).length, 2);
  const again = await feClient('import', file('odd.out'), '--keys-out', file('odd.again'));
  assert.deepEqual([again.code, again.stdout], [0, 'stored 1 records, 0 failed\n']);
});

test('an import that is killed goes on with the same keys, an export where it was', async () => {
  const count = 20_000;
  const records = Array.from({ length: count }, (_none, index) => ({
    id: `many ${index}`,
    record: `record ${index}`,
  }));
  await writeLines('many.jsonl', records);
  const args = ['import', file('many.jsonl'), '--keys-out', file('many.keys'), ...up.toFe];
  const child = spawn(process.execPath, [pathOf('fe-client'), ...args], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await until('a batch to be done', async () => {
    const text = await readFile(file('many.keys'), 'utf8').catch(() => '');
    return text.includes('"done"') ? true : undefined;
  });
  child.kill('SIGKILL');
  await ended;
  // As if the power had gone in the middle of a line.
  await appendFile(file('many.keys'), '{"line":99999,"id":"ma');
  const other = await feClient('import', file('in.jsonl'), '--keys-out', file('many.keys'));
  assert.equal(other.code, 7);
  assert.match(other.stderr, /CONFLICT .* belongs to another import/);
  const resumed = await feClient(...args.slice(0, 4), '--json');
  assert.equal(resumed.code, 0, resumed.stderr);
  const { stored } = JSON.parse(resumed.stdout);
  assert.ok(stored > 0 && stored < count, `went on with ${stored}`);
  const nothing = await feClient(...args.slice(0, 4), '--json');
  assert.equal(JSON.parse(nothing.stdout).stored, 0);
  const exporting = ['export', file('many.keys'), '--out', file('many.out')];
  assert.equal((await feClient(...exporting)).code, 0);
  const out = await linesOf('many.out');
  assert.deepEqual(await recordsOf('many.out'), records);
  // What was cut off is asked for again, and nothing else.
  const { size } = await stat(file('many.out'));
  await truncate(file('many.out'), Math.floor(size / 2));
  assert.equal((await feClient(...exporting)).code, 0);
  assert.deepEqual(await linesOf('many.out'), out);
});

test('a file that is something else is left alone, whatever it ends with', async () => {
  await writeLines('dup.jsonl', [
    { id: 'dup', record: 'first' },
    { id: 'dup', record: 'last', once: true },
  ]);
  for (const text of ['my only key', 'one line\nand a half']) {
    await writeFile(file('precious'), text);
    const imported = await feClient('import', file('dup.jsonl'), '--keys-out', file('precious'));
    assert.equal(imported.code, 7);
    await feClient('import', file('dup.jsonl'), '--keys-out', file('dup.keys'));
    const exported = await feClient('export', file('dup.keys'), '--out', file('precious'));
    assert.equal(exported.code, 7);
    assert.equal(await readFile(file('precious'), 'utf8'), text);
  }
  // Of two records of one name the later one is there; the key of the first is passed over.
  const { code } = await feClient('export', file('dup.keys'), '--out', file('dup.out'));
  assert.equal(code, 0);
  const [only, ...rest] = await recordsOf('dup.out');
  assert.deepEqual([only.record, only.once, rest], ['last', true, []]);
});

test('an earlier record is exported where the later one of its name was not stored', async () => {
  await writeLines('kept.jsonl', [
    { id: 'kept', record: 'first' },
    { id: 'kept', record: 'second' },
    { id: 'kept', record: 'x', expires: '2001-01-01T00:00:00Z' },
  ]);
  const imported = await feClient('import', file('kept.jsonl'), '--keys-out', file('kept.keys'));
  assert.equal(imported.stdout, 'stored 2 records, 1 failed\n');
  await feClient('export', file('kept.keys'), '--out', file('kept.out'));
  const [stored, refused, ...rest] = await recordsOf('kept.out');
  assert.deepEqual([stored.record, refused.error, rest], ['second', 'WRONG_KEY', []]);
});

test('what cannot be exported is told, and what is no such file is refused', async () => {
  await writeLines('one.jsonl', [
    { id: 'gone', record: 'x' },
    { id: 'stays', record: 'y' },
  ]);
  await feClient('import', file('one.jsonl'), '--keys-out', file('one.keys'));
  await feClient('delete', '--id', 'gone');
  const { code, stdout, stderr } = await feClient('export', file('one.keys'), '--out', file('o'));
  assert.equal(code, 3);
  assert.equal(stdout, 'exported 1 records, 1 failed\n');
  assert.match(stderr, /line 2: NOT_FOUND/);
  assert.equal((await feClient('export', file('one.keys'), '--out', file('one.jsonl'))).code, 7);
  assert.equal((await feClient('export', file('none'), '--out', file('p'))).code, 2);
  assert.equal((await feClient('import', file('none'), '--keys-out', file('q'))).code, 2);
  assert.equal((await feClient('import', file('one.jsonl'))).code, 2);
  assert.equal((await feClient('import', '--keys-out', file('q'))).code, 2);
});

/** As {@link feClient}, where no file may become larger than so many blocks of 512 bytes. */
async function feClientInLittleRoom(blocks: number, ...args: string[]) {
  const command = ['ulimit -f "$0" && exec "$@"', `${blocks}`, process.execPath];
  const all = ['-c', ...command, pathOf('fe-client'), ...args, ...up.toFe];
  const { code, stderr } = await runCommand('sh', all, { env: cleanEnv() });
  return { code, stderr: stderr.toString() };
}

test('a disk that takes no more keys ends an import, which goes on when there is room', async () => {
  const records = Array.from({ length: 1_500 }, (_none, index) => ({
    id: `full ${index}`,
    record: `${index}`,
  }));
  await writeLines('full.jsonl', records);
  const args = ['import', file('full.jsonl'), '--keys-out', file('full.keys')];
  const { code, stderr } = await feClientInLittleRoom(150, ...args);
  assert.equal(code, 2, stderr);
  assert.match(stderr, /FILE_ERROR cannot write .*full\.keys/);
  assert.ok(!/line \d+:/.test(stderr), stderr);
  const resumed = await feClient(...args);
  assert.match(resumed.stdout, /^stored (500|1000|1500) records, 0 failed\n$/);
  assert.equal((await feClient('export', file('full.keys'), '--out', file('full.out'))).code, 0);
  assert.deepEqual(await recordsOf('full.out'), records);
});

test('what is read once is not lost when the disk of an export is full', async () => {
  const records = Array.from({ length: 450 }, (_none, index) => ({
    id: `once ${index}`,
    record: `${index}`,
    once: true,
  }));
  await writeLines('once.jsonl', records);
  await feClient('import', file('once.jsonl'), '--keys-out', file('once.keys'));
  const args = ['export', file('once.keys'), '--out', file('once.out')];
  const { code, stderr } = await feClientInLittleRoom(40, ...args);
  assert.equal(code, 2, stderr);
  assert.match(stderr, /FILE_ERROR cannot write .*once\.out/);
  // The second batch was read, and not written.
  assert.ok((await linesOf('once.out').catch(() => [])).length < 401);
  assert.equal((await feClient(...args)).code, 0);
  assert.deepEqual(await recordsOf('once.out'), records);
  const other = await feClient('export', file('full.keys'), '--out', file('once.out'));
  assert.equal(other.code, 7);
  assert.match(other.stderr, /is the export of other keys/);
});

test('an export that met a server without its store asks again, and can be imported', async () => {
  const records = [
    { id: 'away 1', record: 'x' },
    { id: 'away 2', record: 'y' },
  ];
  await writeLines('away.jsonl', records);
  await feClient('import', file('away.jsonl'), '--keys-out', file('away.keys'));
  await appendFile(file('away.keys'), '{"line":3,"id":"cut');
  const args = ['export', file('away.keys'), '--out', file('away.out')];
  const away = await run('fe-client', [...args, '--server', '127.0.0.1:1', '--timeout', '300ms']);
  assert.equal(away.code, 5, away.stderr);
  const { error, again } = { error: 'UNAVAILABLE', again: true };
  await appendFile(
    file('away.out'),
    `${JSON.stringify({ line: 2, id: 'away 1', error, again })}\n`,
  );
  assert.equal((await feClient(...args)).code, 0);
  assert.deepEqual((await recordsOf('away.out')).slice(1), records);
  const imported = await feClient('import', file('away.out'), '--keys-out', file('again.keys'));
  assert.equal(imported.stdout, 'stored 2 records, 1 failed\n');
});

test('a line that failed is not sent after a later one of its name', async () => {
  await writeLines('twice.jsonl', [
    { id: 'twice', record: 'first' },
    { id: 'twice', record: 'second' },
  ]);
  const args = ['import', file('twice.jsonl'), '--keys-out', file('twice.keys')];
  await feClient(...args);
  const text = await readFile(file('twice.keys'), 'utf8');
  const failed = text.replace(
    '{"done":1,"failed":[],"mended":[1]}',
    '{"done":1,"failed":[1],"mended":[]}',
  );
  assert.notEqual(failed, text);
  await writeFile(file('twice.keys'), failed);
  assert.match((await feClient(...args)).stdout, /^stored 0 /);
  await feClient('export', file('twice.keys'), '--out', file('twice.out'));
  assert.equal((await recordsOf('twice.out'))[0]?.record, 'second');
});
