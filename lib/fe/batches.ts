/**
 * Many requests in one. Each item goes the way of a request of its own and has an answer of its
 * own; a bad one spoils no other. They are done side by side, in no order.
 */
import { EncServerError, toEncServerError } from '../errors.ts';
import type { RequestContext } from '../net/request.ts';
import type { Operation, Spoken, Traffic } from '../net/traffic.ts';

/** Items of one batch that are under way at once. */
const AT_ONCE = 64;

export interface BatchHost {
  readonly dialect: Spoken;
  readonly traffic: Traffic;
  readonly context: RequestContext;
}

/** What became of one item. */
export type ItemOutcome<T> = { readonly done: T } | { readonly error: EncServerError };

/**
 * Does all items and resolves to what became of them, in their order. Each is admitted and
 * counted as the request that it is; what throws anything but an {@link EncServerError} is
 * `INTERNAL`.
 */
export async function doBatch<I, T>(
  items: readonly I[],
  operationOf: (item: I) => Operation,
  work: (item: I) => Promise<T>,
  { dialect, traffic, context }: BatchHost,
): Promise<ItemOutcome<T>[]> {
  const outcomes: ItemOutcome<T>[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      const item = items[index] as I;
      const sinceMs = performance.now();
      const outcome = await settle(item, work, context);
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
  context: RequestContext,
): Promise<ItemOutcome<T>> {
  try {
    if (context.remainingMs <= 0) throw new EncServerError('TIMEOUT', 'there was no time left');
    context.admit();
    return { done: await work(item) };
  } catch (thrown) {
    return { error: toEncServerError(thrown) };
  }
}

/**
 * The longest record that each RETRIEVE of a batch may answer with, so that all fit into one
 * reply. A longer one is `LARGE`, and stays unread.
 */
export function shareOf(replyBytesMax: number, retrieves: number): number {
  return Math.floor(replyBytesMax / Math.max(1, retrieves));
}
