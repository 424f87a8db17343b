/** Audit logs in a folder of their own, and what was written into them. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog, type AuditSettings } from '../../lib/audit/audit-log.ts';
import { parseCheckpoint } from '../../lib/audit/checkpoint.ts';
import { initAudit, readVerificationKey, stateFileOf } from '../../lib/audit/key-files.ts';
import { filesOf } from '../../lib/audit/log-files.ts';
import { readState } from '../../lib/audit/state-file.ts';
import { type Verified, verifyLog } from '../../lib/audit/verify.ts';
import { silentLog } from '../../lib/log.ts';

/** The files of one log. */
export interface AuditFiles {
  readonly folder: string;
  readonly path: string;
  readonly keyFile: string;
  readonly stateFile: string;
  readonly verificationKeyFile: string;
  readonly publicKeyFile: string;
  readonly checkpoints: string;
}

export function auditFilesIn(folder: string): AuditFiles {
  const keyFile = join(folder, 'audit.key');
  return {
    folder,
    path: join(folder, 'audit.log'),
    keyFile,
    stateFile: stateFileOf(keyFile),
    verificationKeyFile: join(folder, 'verification.key'),
    publicKeyFile: join(folder, 'verification.pub'),
    checkpoints: join(folder, 'audit.log.checkpoints'),
  };
}

/** A new log in a folder that is there while `work` runs. */
export async function withAuditFiles(work: (files: AuditFiles) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-'));
  try {
    const files = auditFilesIn(folder);
    await initAudit(files);
    await work(files);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Waits for its lines (`closed`), and signs every fifth. */
export function settingsOf(files: AuditFiles, more: Partial<AuditSettings> = {}): AuditSettings {
  return {
    path: files.path,
    keyFile: files.keyFile,
    failure: 'closed',
    bytesMax: 1024 * 1024,
    checkpoints: { file: files.checkpoints, lines: 5, ms: 60_000 },
    ...more,
  };
}

export async function openLog(
  files: AuditFiles,
  more: Partial<AuditSettings> = {},
): Promise<AuditLog> {
  return await AuditLog.open(settingsOf(files, more), silentLog);
}

/** An operation on a record that is called `name`. */
export function askedFor(name: string) {
  return { operation: 'store', who: 'token 0123456789ab', from: '::1', name: Buffer.from(name) };
}

/** Writes so many lines, each in a group of its own. */
export async function writeLines(audit: AuditLog, lines: number): Promise<void> {
  for (let number = 0; number < lines; number++) {
    await audit.around(askedFor(`record ${number}`), async () => undefined);
  }
}

/** What an auditor sees who has the verification key, and what is named beside it. */
export async function verify(
  files: AuditFiles,
  { checkpoints = false, state = false }: { checkpoints?: boolean; state?: boolean } = {},
): Promise<Verified> {
  const text = checkpoints ? await readFile(files.checkpoints, 'utf8') : '';
  return await verifyLog({
    paths: (await filesOf(files.path)).map(({ path }) => path),
    key: await readVerificationKey(files.verificationKeyFile),
    checkpoints: text
      .split('\n')
      .map(parseCheckpoint)
      .filter((one) => one !== undefined),
    expected: state ? await readState(files.stateFile) : undefined,
  });
}

/** `kind:line` of each finding; a dash where it is of no line. */
export function findingsOf({ findings }: Verified): string[] {
  return findings.map(({ kind, lineNumber }) => `${kind}:${lineNumber ?? '-'}`);
}
