/** Work that knows where records lie, and what comes of it when the keyring changes meanwhile. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { BeCall } from '../be/client.ts';
import { codeOf } from '../errors.ts';
import type { KeyringKeeper } from './keeper.ts';
import type { Ring } from './ring.ts';

/** What says where records lie. */
export type RingKeeper = Pick<KeyringKeeper, 'ring' | 'renew'>;

/** How long a request is tried again while the keyring changes, in milliseconds. */
export const CHANGE_MS_MAX = 5_000;
export const CHANGE_PAUSE_MS = 20;

/**
 * Does something under the newest keyring, again from the start where that was too old. Each
 * time `work` is handed the call bound to the epoch of its ring: the back end lets no other in.
 */
export function withRing<T>(
  keeper: RingKeeper,
  call: BeCall,
  work: (ring: Ring, bound: BeCall) => Promise<T>,
): Promise<T> {
  const sinceMs = Date.now();
  // The keyring seldom changes: what comes of it is not prepared for each request.
  return doUnder(keeper, call, work).catch((thrown) =>
    doAgain(keeper, call, work, sinceMs, thrown),
  );
}

async function doAgain<T>(
  keeper: RingKeeper,
  call: BeCall,
  work: (ring: Ring, bound: BeCall) => Promise<T>,
  sinceMs: number,
  thrown: unknown,
): Promise<T> {
  for (let error = thrown; ; ) {
    if (codeOf(error) !== 'STALE_EPOCH') throw error;
    const passedMs = Date.now() - sinceMs;
    const leftMs = (call.timeoutMs ?? CHANGE_MS_MAX) - passedMs;
    if (leftMs <= CHANGE_PAUSE_MS || passedMs > CHANGE_MS_MAX) throw error;
    if (!(await keeper.renew())) await sleep(CHANGE_PAUSE_MS);
    try {
      return await doUnder(keeper, { ...call, timeoutMs: leftMs }, work);
    } catch (again) {
      error = again;
    }
  }
}

/** Never throws, whatever `work` does: it rejects. */
function doUnder<T>(
  keeper: RingKeeper,
  call: BeCall,
  work: (ring: Ring, bound: BeCall) => Promise<T>,
): Promise<T> {
  try {
    const { ring } = keeper;
    return work(ring, boundTo(ring.epoch, call));
  } catch (thrown) {
    return Promise.reject(thrown);
  }
}

/** Written out: a spread costs ten times as much, and this is done for every request. */
function boundTo(epoch: number, { trace, span, timeoutMs, signal }: BeCall): BeCall {
  return { trace, span, epoch, timeoutMs, signal };
}
