/** Runs work that depends on where records lie, and repeats it if the keyring changes meanwhile. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { BeCall } from '../be/client.ts';
import { codeOf } from '../errors.ts';
import type { KeyringKeeper } from './keeper.ts';
import type { Ring } from './ring.ts';

/** Knows where records lie. */
export type RingKeeper = Pick<KeyringKeeper, 'ring' | 'renew'>;

/** How long a request is retried while the keyring changes, in milliseconds. */
export const CHANGE_MS_MAX = 5_000;
export const CHANGE_PAUSE_MS = 20;

/**
 * Runs `work` under the newest keyring, again from the start if that turns out to be outdated. Each
 * time, `work` gets the call bound to the epoch of its ring: the back end accepts no other.
 */
export function withRing<T>(
  keeper: RingKeeper,
  call: BeCall,
  work: (ring: Ring, bound: BeCall) => Promise<T>,
): Promise<T> {
  const sinceMs = Date.now();
  // The keyring seldom changes: the retry is not prepared for each request.
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

/** Written out: a spread takes ten times as long, and this runs for every request. */
function boundTo(epoch: number, { trace, span, timeoutMs, signal }: BeCall): BeCall {
  return { trace, span, epoch, timeoutMs, signal };
}
