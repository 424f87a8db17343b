/** Whether a front end is ready, and what it waits for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AuditFacts, auditLack } from '../audit/facts.ts';
import type { BackEnd } from '../be/back-end.ts';
import { codeOf } from '../errors.ts';
import type { KeyringKeeper } from './keeper.ts';

/** Time for the back end to answer, in milliseconds: a probe itself waits no longer. */
const ASK_TIMEOUT_MS = 1_000;

export interface FrontEndState {
  /** What is missing, in words; empty if the front end is ready. */
  readonly missing: string[];
  readonly isBackEndThere: boolean;
  /** `level`, `mongo`, `memory`; undefined if the back end does not say. */
  readonly store: string | undefined;
}

export async function stateOf(
  be: BackEnd,
  keeper: KeyringKeeper,
  audit: AuditFacts | undefined,
): Promise<FrontEndState> {
  const missing: string[] = [];
  const unaudited = auditLack(audit);
  if (unaudited !== undefined) missing.push(unaudited);
  const lack = keeper.keyring === undefined ? keeper.lack.message : undefined;
  if (lack !== undefined) missing.push(`keyring: ${lack}`);
  try {
    const { ok, reason, store, epoch } = await be.info({ timeoutMs: ASK_TIMEOUT_MS });
    const behind = await behindOf(keeper, epoch);
    if (behind !== undefined) missing.push(behind);
    // The store says what is wrong: closed, damaged, or short of space.
    if (ok !== true) missing.push(`store: ${reason}`);
    const kind = (store as { readonly kind?: unknown } | undefined)?.kind;
    const known = typeof kind === 'string' ? kind : undefined;
    return { missing, isBackEndThere: true, store: known };
  } catch (error) {
    const reason = be.lastError ?? (error as Error);
    // Every connection begins with the keyring: without it, none says how the back end is.
    const words = reason.message === lack ? 'not called without a keyring' : reason.message;
    const isBehind = codeOf(reason) === 'STALE_EPOCH';
    missing.push(isBehind ? `keyring: older than the store's` : `back end: ${words}`);
    return { missing, isBackEndThere: false, store: undefined };
  }
}

/**
 * Whether the store knows a newer keyring, in words: no request for a record is answered then. A
 * file that has changed a moment ago is read first, so that a rotation is not taken for that.
 */
async function behindOf(keeper: KeyringKeeper, storeEpoch: unknown): Promise<string | undefined> {
  const isBehind = () =>
    keeper.keyring !== undefined &&
    typeof storeEpoch === 'number' &&
    keeper.keyring.epoch < storeEpoch;
  if (!isBehind()) return undefined;
  await Promise.race([keeper.renew(), sleep(ASK_TIMEOUT_MS, undefined, { ref: false })]);
  if (!isBehind()) return undefined;
  return `keyring: older than the store's (epoch ${keeper.keyring?.epoch} of ${storeEpoch})`;
}
