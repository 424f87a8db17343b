/** One log line for each request, where the log takes lines of level `debug`. */
import type { Logger } from '../log.ts';
import type { RequestContext } from './request.ts';
import type { Operation, Outcome, Spoken } from './traffic.ts';

/** What is logged of a request: never what it asked for, only its kind. */
export interface RequestFacts {
  readonly dialect: Spoken;
  readonly operation: Operation;
  readonly outcome: Outcome;
  /** When it came, on the clock of `performance.now()`. */
  readonly sinceMs: number;
  /** Undefined where it was refused before it had one. */
  readonly context: RequestContext | undefined;
}

/** Logs how it ended, how long it took, and which trace it belongs to. */
export function logRequest(log: Logger, facts: RequestFacts): void {
  if (!log.isLevelEnabled('debug')) return;
  const { dialect, operation, outcome, sinceMs, context } = facts;
  const ms = Math.round((performance.now() - sinceMs) * 1_000) / 1_000;
  log.debug({ dialect, operation, outcome, ms, ...context?.traceFields }, 'a request');
}
