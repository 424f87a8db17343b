/** Removes expired values, soon after they count as absent. */
import type { Logger } from '../log.ts';
import type { OpenedStore } from '../store/open.ts';

const INTERVAL_MS = 1_000;
/** A few at a time, so that no caller waits long behind a sweep. */
const VALUES_MAX = 500;

export function sweepRegularly(
  store: Pick<OpenedStore, 'sweepExpired' | 'health'>,
  log: Logger,
): { stop(): void } {
  let running = false;
  const timer = setInterval(() => {
    if (running || !store.health().ok) return;
    running = true;
    store
      .sweepExpired(VALUES_MAX)
      .then(
        (count) => count > 0 && log.debug({ count }, 'expired records removed'),
        (error: unknown) => log.warn({ err: error }, 'expired records could not be removed'),
      )
      .finally(() => {
        running = false;
      });
  }, INTERVAL_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
