/** Whether a front end can do its work, and what it waits for. */
import type { BackEnd } from '../be/back-end.ts';
import type { KeyringKeeper } from './keeper.ts';

/** Time for the back end to say how it is, in milliseconds: a probe waits no longer itself. */
const ASK_TIMEOUT_MS = 1_000;

/** What is missing, in words; nothing when the front end is ready. */
export async function missingOf(be: BackEnd, keeper: KeyringKeeper): Promise<string[]> {
  const missing: string[] = [];
  if (keeper.keyring === undefined) missing.push('keyring: there is none yet');
  try {
    const { ok, reason } = await be.info({ timeoutMs: ASK_TIMEOUT_MS });
    // The store says which it is: closed, damaged, or short of space.
    if (ok !== true) missing.push(`store: ${reason}`);
  } catch (error) {
    missing.push(`back end: ${(be.lastError ?? (error as Error)).message}`);
  }
  return missing;
}
