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
  const file = section.auditCheckpoints === '' ? `${path}.checkpoints` : section.auditCheckpoints;
  const {
    auditCheckpointLines: lines,
    auditCheckpointMs: ms,
    auditFileBytesMax: bytesMax,
  } = section;
  const settings = { path, keyFile, failure, bytesMax, checkpoints: { file, lines, ms } };
  return await AuditLog.open(settings, log);
}
