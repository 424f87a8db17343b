/** How an audit log is written, goes on after a crash, and guards its keys. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  copyFile,
  readFile,
  rename,
  stat,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { describe, it } from 'node:test';
import { nextKey, parseLine } from '../../lib/audit/chain.ts';
import { initAudit, readVerificationKey } from '../../lib/audit/key-files.ts';
import { numberedFile } from '../../lib/audit/log-files.ts';
import { readState } from '../../lib/audit/state-file.ts';
import { EncServerError } from '../../lib/errors.ts';
import {
  type AuditFiles,
  askedFor,
  findingsOf,
  openLog,
  verify,
  withAuditFiles,
  writeLines,
} from '../helpers/audit.ts';
import { rejectsWith } from '../helpers/codes.ts';

/** The fields of every line that is one. */
async function linesOf({ path }: AuditFiles): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(path, 'utf8')).split('\n');
  return lines
    .map((line) => parseLine(Buffer.from(line))?.fields)
    .filter((one) => one !== undefined);
}

const opsOf = async (files: AuditFiles) => (await linesOf(files)).map(({ op }) => op);

describe('an audit log that waits for its lines', () => {
  it('answers once the line is in the file, and says what became of the operation', () =>
    withAuditFiles(async (files) => {
      const audit = await openLog(files);
      const done = await audit.around(askedFor('alice'), async () => 42);
      assert.equal(done, 42);
      const failing = audit.around(askedFor('bob'), async () => {
        throw new EncServerError('WRONG_KEY', 'the key is another one');
      });
      await rejectsWith(failing, 'WRONG_KEY');
      const [, first, second] = await linesOf(files);
      assert.equal(first?.['outcome'], 'ok');
      assert.equal(second?.['outcome'], 'WRONG_KEY');
      assert.equal(first?.['who'], 'token 0123456789ab');
      assert.notEqual(first?.['record'], second?.['record']);
      assert.match(String(first?.['record']), /^[0-9a-f]{64}$/);
      assert.doesNotMatch(await readFile(files.path, 'utf8'), /alice|bob/);
      await audit.close();
    }));

  it('writes what comes at once as one chain, in the order in which it ended', () =>
    withAuditFiles(async (files) => {
      const audit = await openLog(files, { bytesMax: 4096 });
      const work = Array.from({ length: 200 }, (_, number) =>
        audit.around(askedFor(`${number}`), async () => undefined),
      );
      await Promise.all(work);
      await audit.close();
      const verified = await verify(files, { checkpoints: true, state: true });
      assert.deepEqual(findingsOf(verified), []);
      assert.equal(verified.count, 202);
    }));

  it('calls a record the same after a restart, and another in the next log', () =>
    withAuditFiles(async (files) => {
      for (let start = 0; start < 2; start++) {
        const audit = await openLog(files);
        await audit.around(askedFor('alice'), async () => undefined);
        await audit.close();
      }
      const [one, two] = (await linesOf(files)).filter(({ op }) => op === 'store');
      assert.equal(one?.['record'], two?.['record']);
      await withAuditFiles(async (others) => {
        const audit = await openLog(others);
        await audit.around(askedFor('alice'), async () => undefined);
        await audit.close();
        const [, other] = await linesOf(others);
        assert.notEqual(other?.['record'], one?.['record']);
      });
    }));
});

describe('an audit log after a crash', () => {
  /** A log that was not closed, as a copy of its files at one moment; the lock stays behind. */
  async function crash(files: AuditFiles, lines: number): Promise<void> {
    const audit = await openLog(files);
    await writeLines(audit, lines);
    const kept = [files.path, files.stateFile];
    for (const path of kept) await copyFile(path, `${path}.kept`);
    await audit.close();
    for (const path of kept) await copyFile(`${path}.kept`, path);
  }

  it('goes on', () =>
    withAuditFiles(async (files) => {
      await crash(files, 3);
      const audit = await openLog(files);
      await writeLines(audit, 2);
      await audit.close();
      assert.deepEqual(findingsOf(await verify(files, { state: true })), []);
      const ops = ['audit-open', 'store', 'store', 'store', 'audit-open', 'store', 'store'];
      assert.deepEqual(await opsOf(files), [...ops, 'audit-close']);
    }));

  it('takes over lines that the state does not know of yet', () =>
    withAuditFiles(async (files) => {
      await crash(files, 3);
      await copyFile(files.stateFile, `${files.stateFile}.old`);
      await crash(files, 4);
      await copyFile(`${files.stateFile}.old`, files.stateFile);
      await (await openLog(files)).close();
      const verified = await verify(files, { state: true });
      assert.deepEqual(findingsOf(verified), []);
      assert.equal(verified.count, 1 + 3 + 1 + 4 + 2);
    }));

  for (const torn of ['{"n":4,"time":"2026', 'half\0a line\nand another\n', '\n']) {
    it(`marks a torn end: ${JSON.stringify(torn)}`, () =>
      withAuditFiles(async (files) => {
        await crash(files, 3);
        await appendFile(files.path, torn);
        const audit = await openLog(files, { bytesMax: 100 });
        await writeLines(audit, 1);
        await audit.close();
        const verified = await verify(files, { state: true });
        assert.deepEqual(findingsOf(verified), []);
        assert.equal(verified.torn, 1);
        const aside = numberedFile(files.path, 1);
        assert.ok((await readFile(aside, 'utf8')).includes(torn));
        // Whoever changes the torn bytes afterwards is found all the same.
        const text = await readFile(aside, 'latin1');
        await writeFile(aside, text.replace(torn, '#'.repeat(torn.length)), 'latin1');
        assert.notDeepEqual((await verify(files)).findings, []);
      }));
  }

  it('does not start on a log that was cut, changed at its end, or taken away', () =>
    withAuditFiles(async (files) => {
      await crash(files, 3);
      await copyFile(files.path, `${files.path}.whole`);
      await truncate(files.path, 100);
      await rejectsWith(openLog(files), 'FILE_ERROR');
      await unlink(files.path);
      await rejectsWith(openLog(files), 'FILE_ERROR');
      await copyFile(`${files.path}.whole`, files.path);
      await (await openLog(files)).close();
      assert.deepEqual(findingsOf(await verify(files)), []);
    }));

  it('goes on where it was cut off between two files', () =>
    withAuditFiles(async (files) => {
      await crash(files, 3);
      await rename(files.path, numberedFile(files.path, 1));
      const audit = await openLog(files);
      await writeLines(audit, 1);
      await audit.close();
      const verified = await verify(files, { state: true });
      assert.deepEqual(findingsOf(verified), []);
      assert.equal(verified.count, 4 + 3);
    }));
});

describe('an audit log that cannot be written', () => {
  /** Takes no byte, as a full disk. */
  const FULL = '/dev/full';
  const skip = existsSync(FULL) ? false : `there is no ${FULL}`;

  it('closed: does not start', { skip }, () =>
    withAuditFiles(async (files) => {
      const error = await rejectsWith(openLog(files, { path: FULL }), 'UNAVAILABLE');
      assert.match(error.hint, /its disk may be full/);
      await (await openLog(files)).close();
    }),
  );

  it('open: everything goes on, and the lost lines are counted', { skip }, () =>
    withAuditFiles(async (files) => {
      const audit = await openLog(files, { path: FULL, failure: 'open' });
      await writeLines(audit, 10);
      await audit.close();
      const values = new Map(
        audit
          .families()
          .flatMap((family) =>
            family.values.map((one) => [family.name, 'value' in one ? one.value : undefined]),
          ),
      );
      assert.equal(values.get('enc_server_audit_lines_total'), 0);
      // The first line and the last one, too.
      assert.equal(values.get('enc_server_audit_lost_lines_total'), 12);
      assert.equal(values.get('enc_server_audit_failing'), 1);
      assert.equal((await readState(files.stateFile)).count, 0);
    }),
  );
});

describe('the keys of an audit log', () => {
  it('are wiped as the log goes on: none of the lines on disk can be made again', () =>
    withAuditFiles(async (files) => {
      const audit = await openLog(files);
      await writeLines(audit, 5);
      const state = await readFile(files.stateFile, 'latin1');
      let { startKey: key } = await readVerificationKey(files.verificationKeyFile);
      for (let number = 0; number < 6; number++) {
        assert.ok(!state.includes(key.toString('hex')), `the key of line ${number}`);
        key = nextKey(key);
      }
      assert.ok(state.includes(key.toString('hex')));
      await audit.close();
    }));

  it('are for their owner alone, all of them', () =>
    withAuditFiles(async (files) => {
      await (await openLog(files)).close();
      const { path, keyFile, stateFile, verificationKeyFile, checkpoints } = files;
      for (const file of [path, keyFile, stateFile, verificationKeyFile, checkpoints]) {
        assert.equal((await stat(file)).mode & 0o777, 0o600, file);
      }
      for (const file of [keyFile, stateFile]) {
        await chmod(file, 0o640);
        await rejectsWith(openLog(files), 'FILE_ERROR');
        await chmod(file, 0o600);
      }
    }));

  it('are not overwritten', () =>
    withAuditFiles(async (files) => {
      const before = await readFile(files.keyFile);
      const others = {
        verificationKeyFile: `${files.keyFile}.v`,
        publicKeyFile: `${files.keyFile}.p`,
      };
      await rejectsWith(initAudit({ keyFile: files.keyFile, ...others }), 'FILE_ERROR');
      assert.deepEqual(await readFile(files.keyFile), before);
      // Nothing of the attempt is left.
      await assert.rejects(stat(others.verificationKeyFile));
    }));

  it('serve one writer, and whoever comes after one that was killed', () =>
    withAuditFiles(async (files) => {
      const audit = await openLog(files);
      await rejectsWith(openLog(files), 'FOLDER_LOCKED');
      // Neither with a key of its own for the same log, nor with another log for the same key.
      await withAuditFiles(async (others) => {
        await rejectsWith(openLog(others, { path: files.path }), 'FOLDER_LOCKED');
        await rejectsWith(openLog(files, { path: others.path }), 'FOLDER_LOCKED');
        await (await openLog(others)).close();
      });
      await audit.close();
      await (await openLog(files)).close();
    }));
});
