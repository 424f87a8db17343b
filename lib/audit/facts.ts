/** What an audit log tells of itself: to INFO, to probes, and to Prometheus. */
import { type Family, single } from '../metrics.ts';

/** Counts are since the server started. */
export interface AuditFacts {
  /** What happens while lines cannot be written. */
  readonly failure: 'open' | 'closed';
  /** Whether lines cannot be written now. */
  readonly failing: boolean;
  /** Lines on disk. */
  readonly lines: number;
  readonly lostLines: number;
  readonly checkpointsFailed: number;
}

/** Why the server answers nothing, for probes; undefined if that is not the audit log's doing. */
export function auditLack(facts: AuditFacts | undefined): string | undefined {
  if (facts?.failing !== true || facts.failure === 'open') return undefined;
  return 'audit log: its lines cannot be written, and auditFailure is closed';
}

export function auditFamilies(facts: AuditFacts): Family[] {
  const prefix = 'enc_server_audit';
  const lost = 'Lines of the audit log that could not be written.';
  const isFailing = Number(facts.failing);
  return [
    single('counter', `${prefix}_lines_total`, 'Lines of the audit log on disk.', facts.lines),
    single('counter', `${prefix}_lost_lines_total`, lost, facts.lostLines),
    single('gauge', `${prefix}_failing`, 'Whether lines cannot be written now.', isFailing),
    single(
      'counter',
      `${prefix}_checkpoints_failed_total`,
      'Checkpoints of the audit log that could not be written.',
      facts.checkpointsFailed,
    ),
  ];
}
