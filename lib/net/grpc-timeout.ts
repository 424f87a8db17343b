/** The header `grpc-timeout`: at most 8 digits and a unit. */
import { TIMER_MS_MAX } from './timer.ts';

/** In milliseconds: those units in which 8 digits can be more than a timer takes. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000 };

/** The same time, or the longest that a timer takes. What is malformed stays what it is. */
export function boundTimeout(timeout: string): string {
  const [, digits, unit = ''] = /^(\d{1,8})\s*([HMS])$/.exec(timeout) ?? [];
  const isTooLong = Number(digits) * (UNITS[unit] ?? 0) > TIMER_MS_MAX;
  return isTooLong ? `${Math.floor(TIMER_MS_MAX / 1_000)}S` : timeout;
}
