/** Gives a server its audit log, if its settings ask for one. */
import type { ServerSection } from '../config/load.ts';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { AuditLog } from './audit-log.ts';

/**
 * Opens the log, starts the server with it, and closes it after the server, or if the server does
 * not start. Rejects as `AuditLog.open`, with `BAD_CONFIG`, and as `start`.
 */
export async function withAudit<T extends { close(): Promise<void> }>(
  section: ServerSection,
  log: Logger,
  start: (audit: AuditLog | undefined) => Promise<T>,
): Promise<T> {
  const audit = await openAudit(section, log);
  if (audit === undefined) return await start(undefined);
  try {
    const server = await start(audit);
    return {
      ...server,
      close: async () => {
        await server.close();
        await audit.close();
      },
    };
  } catch (error) {
    await audit.close();
    throw error;
  }
}

async function openAudit(section: ServerSection, log: Logger): Promise<AuditLog | undefined> {
  const { auditLog: path, auditKeyFile: keyFile, auditFailure: failure } = section;
  if (path === '') return undefined;
  if (failure === 'unset' || keyFile === '') {
    const hint = 'enc-server audit init makes the key; docs/AUDIT.md says what to choose';
    throw new EncServerError('BAD_CONFIG', 'auditLog takes auditKeyFile and auditFailure', {
      hint,
    });
  }
  // Most servers do without an audit log.
  const { AuditLog } = await import('./audit-log.ts');
  const { stateFileOf } = await import('./key-files.ts');
  const file = section.auditCheckpoints === '' ? `${path}.checkpoints` : section.auditCheckpoints;
  checkDifferent(path, [path, file, keyFile, stateFileOf(keyFile)]);
  const {
    auditCheckpointLines: lines,
    auditCheckpointMs: ms,
    auditFileBytesMax: bytesMax,
  } = section;
  const settings = { path, keyFile, failure, bytesMax, checkpoints: { file, lines, ms } };
  return await AuditLog.open(settings, log);
}

/** Whatever else was written into the log would break its chain. Throws `BAD_CONFIG`. */
function checkDifferent(path: string, files: readonly string[]): void {
  // A log that is put aside gets a number behind its name.
  const isAside = (file: string) => file.startsWith(`${path}.`) && /\.\d{6,}$/.test(file);
  if (new Set(files).size === files.length && !files.some(isAside)) return;
  const hint = 'name four files: the log, its checkpoints, its key, and the state beside that';
  throw new EncServerError('BAD_CONFIG', 'two files of the audit log have one name', { hint });
}
