/**
 * Looks regularly whether the database is still the same: one that is dropped or emptied under open
 * connections gives no error, and would take writes.
 */

/** Time between two looks, in milliseconds. What is written in it may be lost. */
export const WATCH_MS = 2_000;

/**
 * @param confirm - asks the database, and acts upon what it finds; whether it rejects does not
 *   matter here, as whoever is asked next is told
 */
export function watchRegularly(confirm: () => Promise<unknown>): { stop(): void } {
  let isLooking = false;
  const timer = setInterval(async () => {
    // MongoDB may take its time; one look is enough.
    if (isLooking) return;
    isLooking = true;
    await confirm().catch(() => undefined);
    isLooking = false;
  }, WATCH_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
