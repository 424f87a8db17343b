/**
 * Many requests in one. Each item is handled like a request of its own and has its own answer; a
 * bad one does not affect the others. They run concurrently, in no particular order.
 */
import { EncServerError, toEncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { RequestContext } from '../net/request.ts';
import type { Operation, Spoken, Traffic } from '../net/traffic.ts';

/** Items of one batch that are under way at once. */
const AT_ONCE = 64;

export interface BatchHost {
  readonly dialect: Spoken;
  readonly traffic: Traffic;
  readonly context: RequestContext;
  readonly log: Logger;
}

/** The outcome of one item. */
export type ItemOutcome<T> = { readonly done: T } | { readonly error: EncServerError };

/**
 * Runs all items and resolves to their outcomes, in their order. Each is admitted and counted like
 * a separate request; anything thrown but an {@link EncServerError} becomes `INTERNAL`,
 * which is logged.
 */
export async function doBatch<I, T>(
  items: readonly I[],
  operationOf: (item: I) => Operation,
  work: (item: I) => Promise<T>,
  host: BatchHost,
): Promise<ItemOutcome<T>[]> {
  const { dialect, traffic } = host;
  const outcomes: ItemOutcome<T>[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      const item = items[index] as I;
      const sinceMs = performance.now();
      const outcome = await settle(item, work, host);
      outcomes[index] = outcome;
      const code = 'error' in outcome ? outcome.error.code : 'ok';
      traffic.note(dialect, operationOf(item), code, sinceMs);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  return outcomes;
}

async function settle<I, T>(
  item: I,
  work: (item: I) => Promise<T>,
  { context, log }: BatchHost,
): Promise<ItemOutcome<T>> {
  try {
    if (context.remainingMs <= 0) throw new EncServerError('TIMEOUT', 'there was no time left');
    context.admit();
    return { done: await work(item) };
  } catch (thrown) {
    const error = toEncServerError(thrown);
    if (error.code === 'INTERNAL') {
      log.error({ err: error, ...context.traceFields }, 'a request of a batch failed');
    }
    return { error };
  }
}

/**
 * The longest record that each RETRIEVE of a batch may return, so that all fit into one reply. A
 * longer one is `LARGE`, and stays unread.
 */
export function shareOf(replyBytesMax: number, retrieves: number): number {
  return Math.floor(replyBytesMax / Math.max(1, retrieves));
}
