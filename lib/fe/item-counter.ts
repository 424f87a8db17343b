/**
 * The highest ID of the items. A sealed record says up to which number IDs may have been given out,
 * a few ahead, so that most items cost no write of it; which of those few exist is looked up when
 * another front end has written it, or the process is new. It is written only under the revision
 * that was read, so that several front ends agree; callers that come at the same time are served
 * together.
 */
import { codeOf, EncServerError } from '../errors.ts';
import { RequestContext } from '../net/request.ts';
import { OWN_SESSION } from '../net/session.ts';
import { despiteOthers } from './despite-others.ts';
import { COUNTERS_NAMESPACE } from './reserved.ts';
import type { FeService } from './service.ts';
import { ALWAYS, IF_ABSENT, ifUnchanged } from './write-condition.ts';

/** Resolves to whether an item with this ID exists. */
export type HasItem = (id: number, context: RequestContext) => Promise<boolean>;

/** One caller's request. */
interface Wish {
  /** The counter must be at least this. */
  readonly floor: number;
  /** Whether the caller also wants a number of its own above that. */
  readonly draws: boolean;
  readonly resolve: (id: number) => void;
  readonly reject: (error: unknown) => void;
}

interface Known {
  /** Minus infinity if there never was an item. */
  readonly highest: number;
  /** No write is needed up to here: whoever reads the record looks for items up to this number. */
  readonly ceiling: number;
  /** The revision that the record must still have; absent if there is no record. */
  readonly revision: Buffer | undefined;
}

/** Where others may have stored items of which they told nobody. */
interface Foreign {
  /** The highest number that they may have given out without a write. */
  readonly ceiling: number;
  /** By then they know that they no longer may; infinity while they have not lost the counter. */
  readonly untilMs: number;
}

const NAME = { namespace: COUNTERS_NAMESPACE, id: Buffer.from('data') };
/** Below every number. */
const NONE = Number.NEGATIVE_INFINITY;
/** The most numbers between two writes. */
const AHEAD = 256;
/** How long another front end's write may go unnoticed by items that bring a free ID. */
const CHECK_INTERVAL_MS = 100;

export class ItemCounter {
  readonly #service: FeService;
  readonly #hasItem: HasItem;
  readonly #timeoutMs: number;
  #known: Known | undefined;
  /** Of whoever had the counter before; undefined once those items were looked for. */
  #foreign: Foreign | undefined;
  /** Until then the known values are trusted, as long as no number is drawn from them. */
  #checkAtMs = 0;
  #wishes: Wish[] = [];
  #serving = false;

  constructor(service: FeService, hasItem: HasItem, timeoutMs: number) {
    this.#service = service;
    this.#hasItem = hasItem;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Resolves once the counter is at `id` or above; nothing if it is, as mostly. To be called again
   * once the item is stored: what was known when that began may be too old by then. Rejects as a
   * STORE does.
   */
  raise(id: number): Promise<unknown> | undefined {
    const known = this.#known;
    if (known === undefined || id > known.ceiling || Date.now() > this.#checkAtMs) {
      return this.#join(id, false);
    }
    if (id > known.highest) {
      this.#known = { ...known, highest: id };
      // Early enough that nobody waits for it; if it fails, the next caller tries again.
      if (isLow(this.#known) && !this.#serving) this.#join(id, false).catch(() => undefined);
    }
    return undefined;
  }

  /**
   * Resolves to an ID above the counter and above `floor` that this process gives to nobody else.
   * Rejects with `CONFLICT` if there is none left, otherwise as a STORE does.
   */
  claim(floor: number): Promise<number> {
    return this.#join(floor, true);
  }

  #join(floor: number, draws: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#wishes.push({ floor, draws, resolve, reject });
      if (!this.#serving) queueMicrotask(() => void this.#serveAll());
    });
  }

  /** Callers that come while others are served are served together afterwards. */
  async #serveAll(): Promise<void> {
    if (this.#serving) return;
    this.#serving = true;
    while (this.#wishes.length > 0) {
      const wishes = this.#wishes;
      this.#wishes = [];
      try {
        await this.#serve(wishes);
      } catch (error) {
        // It may or may not have been written, so it is read before it is used again.
        this.#known = undefined;
        for (const wish of wishes) wish.reject(error);
      }
    }
    this.#serving = false;
  }

  /** Other front ends may write in between; the counter is then read again. */
  async #serve(wishes: readonly Wish[]): Promise<void> {
    const context = new RequestContext(OWN_SESSION, this.#timeoutMs);
    await despiteOthers(ALWAYS, context, async () => {
      try {
        await this.#grant(wishes, context);
      } catch (error) {
        this.#known = undefined;
        throw error;
      }
    });
  }

  async #grant(wishes: readonly Wish[], context: RequestContext): Promise<void> {
    const known = await this.#current(context);
    // It may have been raised meanwhile.
    const current = this.#known?.highest ?? NONE;
    const raised = Math.max(known.highest, current, ...wishes.map(({ floor }) => floor));
    const draws = wishes.filter((wish) => wish.draws);
    const granted = draws.slice(0, Number.MAX_SAFE_INTEGER - raised);
    const highest = raised + granted.length;
    if (isLow({ ...known, highest })) await this.#write(highest, known.revision, context);
    else this.#known = { ...known, highest };
    for (const [index, wish] of granted.entries()) wish.resolve(raised + 1 + index);
    for (const wish of draws.slice(granted.length)) wish.reject(noneLeft());
    for (const wish of wishes) if (!wish.draws) wish.resolve(wish.floor);
  }

  /** The known values, if nobody has written since. */
  async #current(context: RequestContext): Promise<Known> {
    const checkAtMs = Date.now() + CHECK_INTERVAL_MS;
    const expected = this.#known?.revision;
    if (expected === undefined) return await this.#read(context);
    const { revision } = await this.#service.head(NAME, context);
    if (revision.equals(expected)) {
      this.#checkAtMs = checkAtMs;
      return await this.#whole(context);
    }
    this.#known = undefined;
    return await this.#read(context);
  }

  /**
   * The known values, with the items that another front end stored before it knew that the counter
   * is no longer its own.
   */
  async #whole(context: RequestContext): Promise<Known> {
    const known = this.#known as Known;
    if (this.#foreign === undefined || Date.now() <= this.#foreign.untilMs) return known;
    const highest = await this.#find(known.highest, this.#foreign.ceiling, context);
    this.#foreign = undefined;
    return { ...known, highest };
  }

  async #read(context: RequestContext): Promise<Known> {
    try {
      const { record, revision } = await this.#service.retrieve(NAME, 'kept', context);
      const [base = 0, ceiling = 0] = record.toString('latin1').split(' ').map(Number);
      this.#foreign = { ceiling, untilMs: Number.POSITIVE_INFINITY };
      // The numbers ahead belong to whoever wrote the record: to get our own, we write it again.
      return { highest: await this.#find(base, ceiling, context), ceiling: NONE, revision };
    } catch (error) {
      if (codeOf(error) !== 'NOT_FOUND') throw error;
      return { highest: NONE, ceiling: NONE, revision: undefined };
    }
  }

  /** The highest item above `base`, up to `ceiling`; `base` if there is none. */
  async #find(base: number, ceiling: number, context: RequestContext): Promise<number> {
    const ids = Array.from({ length: ceiling - base }, (_none, index) => base + 1 + index);
    const there = await Promise.all(ids.map((id) => this.#hasItem(id, context)));
    return base + 1 + there.lastIndexOf(true);
  }

  async #write(
    highest: number,
    revision: Buffer | undefined,
    context: RequestContext,
  ): Promise<void> {
    const ceiling = Math.min(highest + AHEAD, Number.MAX_SAFE_INTEGER);
    const condition = revision === undefined ? IF_ABSENT : ifUnchanged(revision);
    const record = Buffer.from(`${highest} ${ceiling}`, 'latin1');
    const input = { name: NAME, record, kept: true, condition };
    const checkAtMs = Date.now() + CHECK_INTERVAL_MS;
    const stored = await this.#service.store(input, context);
    this.#checkAtMs = checkAtMs;
    if (this.#foreign?.untilMs === Number.POSITIVE_INFINITY) {
      this.#foreign = { ...this.#foreign, untilMs: Date.now() + CHECK_INTERVAL_MS };
    }
    // It may have been raised meanwhile.
    const raised = Math.max(highest, this.#known?.highest ?? highest);
    this.#known = { highest: raised, ceiling, revision: stored.revision };
  }
}

/** Whether so few numbers lie ahead that the record should be written. */
function isLow({ highest, ceiling }: Known): boolean {
  return ceiling - highest < AHEAD / 2 && ceiling < Number.MAX_SAFE_INTEGER;
}

function noneLeft(): EncServerError {
  return new EncServerError('CONFLICT', 'the ID is taken, and no higher one is left', {
    hint: `an item has, or had, an ID at the upper end, ${Number.MAX_SAFE_INTEGER}; choose a free ID`,
  });
}
