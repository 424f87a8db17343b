/** Callers that do everything a caller can do, and remember what they were answered. */
import { setTimeout as sleep } from 'node:timers/promises';
import { drawKey, EncServerError, type FeClient } from '../../lib/fe/client.ts';
import type { Seen } from '../helpers/register-check.ts';

/**
 * What of a failed write is known: that nothing was done, or nothing at all. A read whose answer
 * was lost is UNAVAILABLE too, and may have burnt what could be read once.
 */
const NOT_DONE: ReadonlySet<string> = new Set([
  'UNAVAILABLE',
  'GOAWAY',
  'OVERLOADED',
  'STALE_EPOCH',
  'RATE_LIMITED',
]);
const ANSWERS: ReadonlySet<string> = new Set([
  'CONFLICT',
  'NOT_FOUND',
  'ALREADY_READ',
  'WRONG_KEY',
]);
const PAUSE_MS = 5;
/** Each record's key stays the same: whoever reads can tell what was stored by its value. */
const KEYS = new Map<string, Buffer>();

export class Load {
  /** By ID. */
  readonly histories = new Map<string, Seen[]>();
  operations = 0;
  unknown = 0;
  refused = 0;
  isOver = false;
  /** What was refused as not done, for whoever looks into a contradiction. */
  readonly refusals: object[] = [];
  readonly #random: (below: number) => number;
  readonly #ends: boolean;
  readonly #ids: readonly string[];
  readonly #revisions = new Map<string, string>();
  #values = 0;

  /** `ends`: whether some records end by themselves, which takes clocks that agree. */
  constructor(random: (below: number) => number, ids: readonly string[], ends: boolean) {
    this.#random = random;
    this.#ends = ends;
    this.#ids = ids;
    for (const id of ids) this.histories.set(id, []);
  }

  /** One caller's requests, one after another, until it is over. */
  async work(client: FeClient): Promise<void> {
    while (!this.isOver) await this.#one(client, this.#random(this.#ids.length));
  }

  /** What is there in the end, with nothing in the way. */
  async look(client: FeClient): Promise<void> {
    for (const [index] of this.#ids.entries()) await this.#one(client, index, 'get');
  }

  async #one(client: FeClient, index: number, only?: Seen['kind']): Promise<void> {
    const id = this.#ids[index] ?? '';
    const seen = this.#draw(id, only);
    const history = this.histories.get(id) ?? [];
    history.push(seen);
    this.operations++;
    try {
      seen.found = await this.#ask(client, id, seen);
      seen.outcome = 'ok';
      if (seen.found.revision !== undefined) this.#revisions.set(id, seen.found.revision);
    } catch (error) {
      const code = error instanceof EncServerError ? error.code : String(error);
      // Others wrote it each time that it was looked at: nothing was read, and nothing burnt.
      const isCrowded = seen.kind === 'get' && code === 'CONFLICT';
      if (ANSWERS.has(code) && !isCrowded) {
        seen.outcome = code;
      } else if (
        isCrowded ||
        (NOT_DONE.has(code) && seen.kind !== 'get') ||
        seen.kind === 'wrong'
      ) {
        history.splice(history.indexOf(seen), 1);
        this.refusals.push({ id, code, at: performance.now(), seen });
        this.refused++;
        await sleep(PAUSE_MS);
        return;
      } else {
        // Any time from here on, or never.
        this.unknown++;
        await sleep(PAUSE_MS);
        return;
      }
    }
    seen.answeredAt = performance.now();
    seen.clockAnswered = Date.now();
  }

  #draw(id: string, only: Seen['kind'] | undefined): Seen {
    const kinds = ['put', 'create', 'exchange', 'remove', 'get', 'get', 'get', 'wrong'] as const;
    const drawn = only ?? kinds[this.#random(kinds.length)] ?? 'get';
    const expected = this.#revisions.get(id);
    const kind = drawn === 'exchange' && expected === undefined ? 'put' : drawn;
    const isWrite = kind === 'put' || kind === 'create' || kind === 'exchange';
    const clockCalled = Date.now();
    return {
      kind,
      calledAt: performance.now(),
      answeredAt: Number.POSITIVE_INFINITY,
      clockCalled,
      clockAnswered: Number.POSITIVE_INFINITY,
      ...(expected !== undefined && { expected }),
      ...(isWrite && {
        value: `value ${++this.#values}`,
        once: this.#random(5) === 0,
        expiryMs: this.#ends && this.#random(5) === 0 ? clockCalled + 100 + this.#random(900) : 0,
      }),
    };
  }

  async #ask(client: FeClient, id: string, seen: Seen): Promise<NonNullable<Seen['found']>> {
    const { kind, value = '', expiryMs = 0, once = false, expected = '' } = seen;
    const key = KEYS.get(id) ?? drawKey();
    KEYS.set(id, key);
    if (kind === 'get' || kind === 'wrong') {
      const found = await client.retrieve(id, kind === 'get' ? key : drawKey());
      return { value: found.record.toString(), revision: found.revision.toString('hex') };
    }
    if (kind === 'remove') return { there: await client.delete(id) };
    const { revision, replaced } = await client.store(id, Buffer.from(value), {
      key,
      once,
      ...(expiryMs > 0 && { expiryMs }),
      ...(kind === 'create' && { ifAbsent: true }),
      ...(kind === 'exchange' && { ifRevision: Buffer.from(expected, 'hex') }),
    });
    return { revision: revision.toString('hex'), there: replaced };
  }
}
