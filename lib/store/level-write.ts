/** Writing a group to LevelDB: look up what is there, decide, and write everything at once. */
import { EncServerError, toEncServerError } from '../errors.ts';
import type { Settle, Write } from './group.ts';
import { type Edit, type LevelDatabase, writeSynced } from './level-database.ts';
import type { LookedUp } from './level-each.ts';
import type { Lookups } from './level-lookups.ts';
import { type Plan, planWrite } from './level-plan.ts';
import { atKey, readError } from './level-read.ts';

interface PlannedWrite {
  readonly write: Write;
  readonly plan: Plan;
}

/** Told the outcome of a group before any of its callers is. */
export interface GroupOutcome {
  /** The number of records changed by this much. */
  written(added: number): void;
  /** The database failed to write. */
  failed(cause: unknown): void;
}

/**
 * Writes a group. Settles at once the writes that cannot be done; resolves to a function that
 * settles the rest. Never rejects.
 *
 * @param now milliseconds since 1970 (UTC)
 */
export async function writeGroup(
  database: LevelDatabase,
  group: readonly Write[],
  lookups: Lookups,
  now: () => number,
  outcome: GroupOutcome,
): Promise<Settle | undefined> {
  let found: readonly LookedUp[];
  try {
    found = await lookups.take(group);
  } catch (thrown) {
    for (const write of group) write.reject(readError(thrown));
    return undefined;
  }
  const edits: Edit[] = [];
  const planned = planGroup(group, found, now(), edits);
  try {
    if (edits.length > 0) await writeSynced(database, edits);
  } catch (cause) {
    outcome.failed(cause);
    const words = 'the write failed, and may or may not have been done';
    const error = new EncServerError('UNKNOWN_OUTCOME', words, { cause });
    for (const { write } of planned) write.reject(error);
    return undefined;
  }
  outcome.written(planned.reduce((sum, { plan }) => sum + plan.added, 0));
  return () => {
    for (const { write, plan } of planned) write.resolve(plan.result);
  };
}

/** Plans what can be done, and rejects the rest. */
function planGroup(
  group: readonly Write[],
  found: readonly LookedUp[],
  nowMs: number,
  edits: Edit[],
): PlannedWrite[] {
  const planned: PlannedWrite[] = [];
  for (const [index, write] of group.entries()) {
    const raw = found[index];
    if (raw instanceof Error) {
      write.reject(readError(raw, atKey(write.key)));
      continue;
    }
    try {
      planned.push({ write, plan: planWrite(write, raw, nowMs, edits) });
    } catch (thrown) {
      write.reject(toEncServerError(thrown));
    }
  }
  return planned;
}
