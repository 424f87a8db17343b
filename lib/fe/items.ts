/**
 * The items of `/data`: texts under whole numbers, sealed under keys that the server keeps. A new
 * item is stored under the requested number, or, if that is taken, under the number after the
 * highest; nothing is ever overwritten.
 */
import { EncServerError } from '../errors.ts';
import { RequestContext } from '../net/request.ts';
import { OWN_SESSION } from '../net/session.ts';
import { ItemCounter } from './item-counter.ts';
import { orAbsent, orConflict } from './lookup.ts';
import { ITEMS_NAMESPACE } from './reserved.ts';
import type { FeService } from './service.ts';
import { IF_ABSENT } from './write-condition.ts';

export interface Item {
  /** A safe integer, possibly negative. */
  readonly id: number;
  readonly data: string;
}

/** Selects the IDs to list. */
export interface ItemsRange {
  /** Only IDs above this. */
  readonly after?: number | undefined;
  /** At most this many. */
  readonly limit?: number | undefined;
}

export class Items {
  readonly #service: FeService;
  readonly #counter: ItemCounter;
  readonly #recordBytesMax: number;

  /** `requestTimeoutMs` is for the counter's writes, which belong to no single request. */
  constructor(service: FeService, recordBytesMax: number, requestTimeoutMs: number) {
    this.#service = service;
    this.#counter = new ItemCounter(
      service,
      (id, context) => this.#has(id, context),
      requestTimeoutMs,
    );
    this.#recordBytesMax = recordBytesMax;
  }

  /**
   * Stores an item and resolves to the ID that it got. Rejects with `RECORD_TOO_LARGE`,
   * `CONFLICT` when no higher ID is left, `TIMEOUT`, `UNAVAILABLE` or `UNKNOWN_OUTCOME`.
   */
  async create(item: Item, context: RequestContext): Promise<number> {
    const record = Buffer.from(item.data, 'utf8');
    // Checked before the counter is raised for an item that is never stored.
    if (record.length > this.#recordBytesMax) {
      const words = `an item of ${record.length} bytes; at most ${this.#recordBytesMax} are taken`;
      throw new EncServerError('RECORD_TOO_LARGE', words);
    }
    // Both at once: an item above the counter is never overwritten, at worst skipped.
    const counted = this.#counter.raise(item.id);
    const [stored, raised] = await Promise.allSettled([
      this.#store(item.id, record, context),
      counted && inTime(counted, context),
    ]);
    if (stored.status === 'rejected') throw stored.reason;
    if (stored.value) {
      if (raised.status === 'fulfilled') await this.#tell(item.id, context);
      return item.id;
    }
    while (context.remainingMs > 0) {
      const next = await inTime(this.#counter.claim(item.id), context);
      if (!(await this.#store(next, record, context))) continue;
      await this.#tell(next, context);
      return next;
    }
    throw noneInTime();
  }

  /** Rejects with `NOT_FOUND`, `ALTERED` or `UNAVAILABLE`. */
  async retrieve(id: number, context: RequestContext): Promise<Buffer> {
    const { record } = await this.#service.retrieve(nameOf(id), 'kept', context);
    return record;
  }

  /** The IDs in ascending order. Only the IDs are held in memory, never the items. */
  async listIds(context: RequestContext, range: ItemsRange = {}): Promise<number[]> {
    context.caller.require('retrieve', ITEMS_NAMESPACE);
    const { after = Number.NEGATIVE_INFINITY, limit = Number.POSITIVE_INFINITY } = range;
    let ids: number[] = [];
    const own = new RequestContext(OWN_SESSION, context.remainingMs, undefined, context);
    own.joinTrace(context);
    for await (const id of this.#service.listIds(ITEMS_NAMESPACE, own)) {
      const number = Number(id.toString('latin1'));
      if (number > after) ids.push(number);
      // The store does not sort by number: the lowest IDs are kept, the rest is dropped now and
      // then.
      if (ids.length >= 2 * limit + PRUNE_ITEMS) ids = lowest(ids, limit);
    }
    return lowest(ids, limit);
  }

  /**
   * Raises the counter for an item that is stored. If that fails, it is stored all the same: an
   * error would make the caller send it again. Later claims skip its ID.
   */
  async #tell(id: number, context: RequestContext): Promise<void> {
    const counted = this.#counter.raise(id);
    if (counted !== undefined) await inTime(counted, context).catch(() => undefined);
  }

  async #has(id: number, context: RequestContext): Promise<boolean> {
    return (await orAbsent(this.#service.head(nameOf(id), context))) !== undefined;
  }

  /** Resolves to whether the ID was free. */
  async #store(id: number, record: Buffer, context: RequestContext): Promise<boolean> {
    const input = { name: nameOf(id), record, kept: true, condition: IF_ABSENT };
    return (await orConflict(this.#service.store(input, context))) !== undefined;
  }
}

const PRUNE_ITEMS = 1_000;

/**
 * Counting serves many requests together, and may wait behind others: no request waits for that
 * beyond its own time. Rejects with `TIMEOUT`.
 */
async function inTime<T>(counted: Promise<T>, { remainingMs }: RequestContext): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(noneInTime()), remainingMs);
  });
  try {
    return await Promise.race([counted, late]);
  } finally {
    clearTimeout(timer);
  }
}

function noneInTime(): EncServerError {
  return new EncServerError('TIMEOUT', 'no free ID was found in time');
}

function nameOf(id: number): { namespace: Buffer; id: Buffer } {
  return { namespace: ITEMS_NAMESPACE, id: Buffer.from(String(id), 'latin1') };
}

function lowest(ids: number[], limit: number): number[] {
  ids.sort((a, b) => a - b);
  return ids.length > limit ? ids.slice(0, limit) : ids;
}
