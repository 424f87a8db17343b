/** `enc-server audit` as an operator and an auditor use it. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { withAudit } from '../../lib/audit/open.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { silentLog } from '../../lib/log.ts';
import { type AuditFiles, openLog, withAuditFiles, writeLines } from '../helpers/audit.ts';
import { rejectsWith } from '../helpers/codes.ts';
import { run } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const audit = (...args: string[]) => run('enc-server', ['audit', ...args]);

const proofOf = ({ path, verificationKeyFile }: AuditFiles) => [
  'verify',
  '--log',
  path,
  '--key',
  verificationKeyFile,
];

async function write(files: AuditFiles): Promise<void> {
  const log = await openLog(files);
  await writeLines(log, 4);
  await log.close();
}

describe('enc-server audit', () => {
  it('makes the keys of a log, once', async () => {
    const folder = await temporaryFolder();
    const files = ['--key-file', join(folder, 'k'), '--verification-key', join(folder, 'v')];
    const made = await audit('init', ...files);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout.toString(), /^[0-9a-f]{32}\n$/);
    assert.match(made.stderr, /move it off this machine/);
    // Nothing that it prints is a key.
    for (const name of ['k', 'v']) {
      const { nameKey, startKey } = JSON.parse(await readFile(join(folder, name), 'utf8'));
      assert.ok(!made.stderr.includes(nameKey ?? startKey));
    }
    const again = await audit('init', ...files);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /FILE_ERROR/);
    const named = await audit('name', '--key-file', join(folder, 'k'), '--id', 'alice');
    assert.match(named.stdout.toString(), /^[0-9a-f]{64}\n$/);
    await rm(folder, { recursive: true });
  });

  it('proves a log, and says how far that reaches', () =>
    withAuditFiles(async (files) => {
      await write(files);
      const bare = await audit(...proofOf(files));
      assert.equal(bare.code, 0, bare.stderr);
      assert.match(bare.stdout.toString(), /^6 lines, head [0-9a-f]{64}: it holds\n$/);
      assert.match(bare.stderr, /give --checkpoint or --state/);
      const { checkpoints, publicKeyFile } = files;
      const more = ['--checkpoint', checkpoints, '--public-key', publicKeyFile];
      const whole = await audit(...proofOf(files), ...more);
      assert.equal(whole.code, 0, whole.stderr);
      assert.equal(whole.stderr, '');
    }));

  it('names what was changed and where, with exit code 4', () =>
    withAuditFiles(async (files) => {
      await write(files);
      const text = await readFile(files.path, 'utf8');
      const lines = text.split(/(?<=\n)/);
      await writeFile(
        files.path,
        lines.toSpliced(2, 1).join('').replace('audit-close', 'audit-clone'),
      );
      const { code, stdout } = await audit(...proofOf(files));
      assert.equal(code, 4);
      const [removed, altered, verdict] = stdout.toString().split('\n');
      assert.equal(altered, `${files.path}:5: altered: number 5 is not what was written`);
      assert.ok(removed?.startsWith(`${files.path}:3: removed: number 2 is missing`), removed);
      assert.match(verdict ?? '', /it does not hold: 2 found$/);
      const json = await audit(...proofOf(files), '--json');
      assert.equal(json.code, 4);
      const { findings } = JSON.parse(json.stdout.toString());
      assert.deepEqual(
        findings.map(({ kind, lineNumber }: { kind: string; lineNumber: number }) => [
          kind,
          lineNumber,
        ]),
        [
          ['removed', 3],
          ['altered', 5],
        ],
      );
    }));

  it('says what is missing, rather than that all is well', () =>
    withAuditFiles(async (files) => {
      assert.equal((await audit(...proofOf(files))).code, 2);
      await write(files);
      const { keyFile, path, verificationKeyFile: key, publicKeyFile } = files;
      const wrongKey = await audit('verify', '--log', path, '--key', keyFile);
      assert.match(wrongKey.stderr, /FILE_ERROR .* is no verification key/);
      const noCheckpoint = ['--checkpoint', publicKeyFile];
      const none = await audit('verify', '--log', path, '--key', key, ...noCheckpoint);
      assert.match(none.stderr, /FILE_ERROR there is no checkpoint/);
    }));
});

describe('the settings of an audit log', () => {
  const load = (settings: Record<string, string>) =>
    loadConfig({
      env: {},
      flags: {
        feServerConfigs: { dataDir: '/x', ...settings },
        beServerConfigs: { dataDir: '/x' },
      },
    });

  it('take a choice: there is no silent default', async () => {
    const auditLog = '/x/audit.log';
    const auditKeyFile = '/x/audit.key';
    await rejectsWith(load({ auditLog }), 'BAD_CONFIG');
    const error = await rejectsWith(load({ auditLog, auditKeyFile }), 'BAD_CONFIG');
    assert.match(error.message, /auditLog: expected auditKeyFile and auditFailure/);
    await rejectsWith(load({ auditLog, auditFailure: 'open' }), 'BAD_CONFIG');
    await rejectsWith(load({ auditLog, auditKeyFile, auditFailure: 'maybe' }), 'BAD_CONFIG');
    for (const auditFailure of ['open', 'closed']) {
      const { config } = await load({ auditLog, auditKeyFile, auditFailure });
      assert.equal(config.feServerConfigs.auditFailure, auditFailure);
    }
    for (const alone of [{ auditKeyFile }, { auditFailure: 'closed' }]) {
      const { message } = await rejectsWith(load(alone), 'BAD_CONFIG');
      assert.match(message, /auditLog: expected a path/);
    }
    assert.equal((await load({})).config.feServerConfigs.auditLog, '');
  });

  it('name different files, so that no checkpoint is written into the log', async () => {
    const given = { auditLog: '/x/audit.log', auditKeyFile: '/x/audit.key', auditFailure: 'open' };
    for (const auditCheckpoints of [
      '/x/../x/audit.log',
      '/x/audit.key',
      '/x/audit.key.state',
      '/x/audit.log.000001',
    ]) {
      const { config } = await load({ ...given, auditCheckpoints });
      const starting = withAudit(config.feServerConfigs, silentLog, () => assert.fail('it opened'));
      const error = await rejectsWith(starting, 'BAD_CONFIG');
      assert.match(error.message, /two files of the audit log have one name/);
    }
  });
});
