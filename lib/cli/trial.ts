/** The family's trial: store, retrieve, compare, delete, with one line per step. */
import { codeOf, EncServerError, EXIT, type ExitCode } from '../errors.ts';
import type { ClientSetting } from './client-flags.ts';

/** The steps of the trial on either server. */
export interface TrialSteps {
  /** Stores only if nothing is there, so that a real record is never touched: `CONFLICT`. */
  readonly store: (id: string, record: Buffer) => Promise<void>;
  readonly retrieve: (id: string) => Promise<Buffer>;
  /** Deletes what this trial stored, nothing else. */
  readonly remove: (id: string) => Promise<void>;
}

/** Rejects with `CONFLICT` when the ID is in use, `TRIAL_FAILED` when another record comes back. */
export async function runTrial(setting: ClientSetting, steps: TrialSteps): Promise<ExitCode> {
  const { id, record } = setting.trial;
  const bytes = Buffer.from(record, 'utf8');
  const done = (step: string, words: string) => setting.result(words, { step, ok: true });

  await steps.store(id, bytes).catch((error: unknown) => {
    throw inUse(error);
  });
  await done('store', `stored ${bytes.length} bytes under ${id}`);
  try {
    const found = await steps.retrieve(id);
    await done('retrieve', `retrieved ${found.length} bytes`);
    if (!found.equals(bytes)) {
      throw new EncServerError('TRIAL_FAILED', 'another record came back than was stored');
    }
    await done('compare', 'they are the same');
  } catch (error) {
    // The first failure is the one to report.
    await steps.remove(id).catch(() => undefined);
    throw error;
  }
  await steps.remove(id);
  await done('delete', 'deleted them again');
  return EXIT.done;
}

/** Rejects with `CONFLICT` where there is a record. */
export async function requireAbsent(head: Promise<unknown>): Promise<void> {
  try {
    await head;
  } catch (error) {
    if (codeOf(error) === 'NOT_FOUND') return;
    throw error;
  }
  throw new EncServerError('CONFLICT', 'there is a record already');
}

function inUse(error: unknown): unknown {
  if (codeOf(error) !== 'CONFLICT') return error;
  return new EncServerError('CONFLICT', 'there is a record already, which was not touched', {
    hint: 'delete it, or set another testParams.id in the configuration',
    cause: error,
  });
}
