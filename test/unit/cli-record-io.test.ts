/** Keys and records in files and in the environment. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstat, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  checkKeyFlags,
  checkRecordFlags,
  readKey,
  readRecord,
  removeKeyFile,
  writeKeyFile,
} from '../../lib/cli/record-io.ts';
import { isText, openRecordFile } from '../../lib/cli/record-out.ts';
import { rejectsWith } from '../helpers/store-values.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

describe('keys and records in files', () => {
  let folder: string;
  before(async () => {
    folder = await temporaryFolder();
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });

  it('a key goes into a new file for its owner and comes back', async () => {
    const key = randomBytes(32);
    const path = join(folder, 'a.key');
    await writeKeyFile(path, key);
    assert.equal(await readFile(path, 'utf8'), `${key.toString('hex')}\n`);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readKey({ keyFile: path }), key);
    await removeKeyFile(path);
    await removeKeyFile(path);
    await rejectsWith(readKey({ keyFile: path }), 'FILE_ERROR');
  });

  it('a file that is there is never overwritten', async () => {
    const path = join(folder, 'b.key');
    await writeFile(path, 'precious');
    await rejectsWith(writeKeyFile(path, randomBytes(32)), 'FILE_ERROR');
    assert.equal(await readFile(path, 'utf8'), 'precious');
  });

  it('a key that cannot be written leaves no file', async () => {
    await rejectsWith(writeKeyFile('/dev/full/x', randomBytes(32)), 'FILE_ERROR');
    await rejectsWith(writeKeyFile(join(folder, 'no', 'x'), randomBytes(32)), 'FILE_ERROR');
    assert.ok(!(await readdir(folder)).includes('no'));
  });

  it('a key comes from a flag, else from the environment, else from nowhere', async () => {
    const [given, ofEnvironment] = [randomBytes(32), randomBytes(32)];
    const variable = 'ENC_SERVER_TS_KEY';
    assert.equal(await readKey({}), undefined);
    process.env[variable] = '';
    assert.equal(await readKey({}), undefined);
    process.env[variable] = ofEnvironment.toString('hex');
    try {
      assert.deepEqual(await readKey({}), ofEnvironment);
      assert.deepEqual(await readKey({ key: given.toString('hex') }), given);
    } finally {
      delete process.env[variable];
    }
  });

  it('flags that exclude each other are refused', () => {
    assert.throws(() => checkKeyFlags({ key: '-', keyFile: 'x' }), { code: 'USAGE' });
    assert.throws(() => checkRecordFlags({ record: '', file: 'x' }), { code: 'USAGE' });
    checkKeyFlags({ key: '-' });
    checkRecordFlags({ record: 'é', namespace: 'x' } as { record: string });
  });

  it('a record comes from its flag or its file, byte for byte', async () => {
    assert.deepEqual(await readRecord({ record: 'é' }), Buffer.from([0xc3, 0xa9]));
    assert.deepEqual(await readRecord({ record: '' }), Buffer.alloc(0));
    const bytes = randomBytes(200_000);
    const path = join(folder, 'record');
    const write = async (record: Buffer) => (await openRecordFile(path)).write(record);
    await write(bytes);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readRecord({ file: path }), bytes);
    await write(Buffer.from('short'));
    assert.equal(await readFile(path, 'utf8'), 'short');
    await rejectsWith(readRecord({ file: join(folder, 'none') }), 'FILE_ERROR');
    await rejectsWith(readRecord({ file: '/dev/zero' }), 'RECORD_TOO_LARGE');
  });
});

describe('the file of a record', () => {
  let folder: string;
  before(async () => {
    folder = await temporaryFolder();
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });

  it('is what it was until the record is on disk, and a link to it stays', async () => {
    const [path, link] = [join(folder, 'record'), join(folder, 'link')];
    await writeFile(path, 'before');
    await symlink(path, link);
    const dropped = await openRecordFile(link);
    assert.equal(await readFile(path, 'utf8'), 'before');
    await dropped.drop();
    assert.deepEqual((await readdir(folder)).sort(), ['link', 'record']);
    const file = await openRecordFile(link);
    await file.write(Buffer.from('after'));
    assert.equal(await readFile(path, 'utf8'), 'after');
    assert.ok((await lstat(link)).isSymbolicLink());
    assert.deepEqual((await readdir(folder)).sort(), ['link', 'record']);
  });

  it('is refused before the record is asked for', async () => {
    await rejectsWith(openRecordFile(join(folder, 'no', 'x')), 'FILE_ERROR');
    await rejectsWith(openRecordFile(folder), 'FILE_ERROR');
    await (await openRecordFile('/dev/null')).write(Buffer.from('x'));
    await rejectsWith((await openRecordFile('/dev/full')).write(Buffer.from('x')), 'FILE_ERROR');
  });
});

describe('isText', () => {
  for (const text of ['', 'hello', 'two\nlines\twith a tab\n', 'of DOS\r\n', 'é 漢 🦊']) {
    it(`takes ${JSON.stringify(text)}`, () => {
      assert.equal(isText(Buffer.from(text)), true);
    });
  }
  for (const bytes of [[0], [0x1b, 0x5b], [0xff], [0xc2, 0x9b], [0x7f], [0x61, 0x0d, 0x62]]) {
    it(`does not take ${Buffer.from(bytes).toString('hex')}`, () => {
      assert.equal(isText(Buffer.from(bytes)), false);
    });
  }
});
