/** Removes expired values, soon after they count as absent. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { OpenedStore } from '../store/open.ts';

const INTERVAL_MS = 1_000;
/** A few at a time, so that no caller waits long behind a sweep. */
const VALUES_MAX = 500;

export function sweepRegularly(
  store: Pick<OpenedStore, 'sweepExpired' | 'health'>,
  log: Logger,
): { stop(): void } {
  let isRunning = false;
  let isStopped = false;
  /** Until nothing is left: more may end in a second than one sweep removes. */
  const sweep = async () => {
    while (!isStopped && store.health().ok) {
      const sinceMs = performance.now();
      const count = await store.sweepExpired(VALUES_MAX);
      if (count > 0) log.debug({ count }, 'expired records removed');
      if (count < VALUES_MAX) return;
      // Half of the time belongs to callers, however much there is to remove.
      await sleep(performance.now() - sinceMs, undefined, { ref: false });
    }
  };
  const timer = setInterval(() => {
    if (isRunning) return;
    isRunning = true;
    sweep()
      .catch((err: unknown) => log.warn({ err }, 'expired records could not be removed'))
      .finally(() => {
        isRunning = false;
      });
  }, INTERVAL_MS);
  timer.unref();
  return {
    stop() {
      isStopped = true;
      clearInterval(timer);
    },
  };
}
