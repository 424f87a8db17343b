/** How long a timer may run. */

/** Node takes no more (2^31 - 1 ms, 24.8 days), and fires at once when given more. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** The time for a timer: what a caller gives may be longer than one can run, or endless. */
export function timerMs(ms: number): number {
  return Math.min(ms, TIMER_MS_MAX);
}
