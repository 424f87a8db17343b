/**
 * Whether what was seen of one record can have been the work of a single, unhurried server: the
 * search of Wing and Gong (1993) for an order of the operations that respects time.
 */

/** One operation that was asked for, and what came of it. */
export interface Seen {
  readonly calledAt: number;
  /** Infinity where no answer came: it may have been done any time, or never. */
  answeredAt: number;
  readonly kind: 'put' | 'create' | 'exchange' | 'remove' | 'get' | 'wrong';
  /** Of what is written. */
  readonly value?: string;
  /** Whether what is written can be read once. */
  readonly once?: boolean;
  /** When that ends, on the clock of the test; 0 is never. */
  readonly expiryMs?: number;
  /** What an exchange expects. */
  readonly expected?: string;
  /** What was answered: `ok`, `CONFLICT`, `NOT_FOUND`, `ALREADY_READ`, `WRONG_KEY`. */
  outcome?: string;
  /** What was found, or written. */
  found?: { readonly value?: string; readonly revision?: string; readonly there?: boolean };
  /** The clock of the test when it was called, and answered. */
  readonly clockCalled: number;
  clockAnswered: number;
}

interface State {
  readonly value: string;
  readonly revision: string;
  readonly expiryMs: number;
  readonly once: boolean;
  /** Whether it was read once. */
  readonly isRead: boolean;
}

/** Whether there is such an order. The record is not there at first. */
export function isLinearizable(history: readonly Seen[]): boolean {
  const seens = history.filter((seen) => !isIdle(seen, history));
  // Of time it matters only how many of the values have ended: so few moments are looked at.
  const ends = [...new Set(seens.map(({ expiryMs = 0 }) => expiryMs))]
    .filter((expiryMs) => expiryMs > 0)
    .sort((a, b) => a - b);
  const endedBy = (clock: number) => ends.filter((end) => end <= clock).length;
  const bounds = seens.map((seen) => ({
    seen,
    from: endedBy(seen.clockCalled),
    to: endedBy(seen.clockAnswered),
  }));
  const all = new Set(bounds);
  const dead = new Set<string>();
  const search = (
    open: ReadonlySet<Bounded>,
    state: State | undefined,
    moment: number,
  ): boolean => {
    const firstAnswer = Math.min(...[...open].map(({ seen }) => seen.answeredAt));
    if (firstAnswer === Number.POSITIVE_INFINITY) return true;
    const ids = bounds.map((one) => (open.has(one) ? 1 : 0)).join('');
    const id = `${ids} ${state?.value} ${state?.revision} ${state?.isRead} ${moment}`;
    if (dead.has(id)) return false;
    dead.add(id);
    // Reads and deletes whose answer was lost are all the same: the first one stands for them.
    const tried = new Set<string>();
    for (const bounded of open) {
      const { kind, outcome, calledAt } = bounded.seen;
      if (calledAt > firstAnswer) continue;
      if (outcome === undefined && (kind === 'get' || kind === 'remove')) {
        if (tried.has(kind)) continue;
        tried.add(kind);
      }
      const left = new Set(open);
      left.delete(bounded);
      for (let at = Math.max(moment, bounded.from); at <= bounded.to; at++) {
        const clock = at === 0 ? 0 : (ends[at - 1] as number);
        const nexts = statesAfter(bounded.seen, state, clock);
        if (nexts.some((next) => search(left, next, at))) return true;
      }
    }
    return false;
  };
  return search(all, undefined, 0);
}

interface Bounded {
  readonly seen: Seen;
  /** How many values had ended when it was called, and when it was answered. */
  readonly from: number;
  readonly to: number;
}

/** Whether nobody could tell that it was done: a read whose answer was lost, and burnt nothing. */
function isIdle({ kind, outcome }: Seen, history: readonly Seen[]): boolean {
  if (outcome !== undefined) return false;
  return kind === 'wrong' || (kind === 'get' && !history.some(({ once }) => once));
}

/** The states that the operation can have led to; none where its answer contradicts. */
function statesAfter(seen: Seen, state: State | undefined, at: number): (State | undefined)[] {
  const live = state !== undefined && !hasEnded(state, at);
  const { kind, outcome, found, value = '', expiryMs = 0, expected, once = false } = seen;
  const revision = found?.revision ?? 'unknown';
  const written = { value, revision, expiryMs, once, isRead: false };
  // Whether what ended by itself counts as replaced, nobody promises.
  const isTold = (there: boolean) => found?.there === there || (state?.expiryMs ?? 0) > 0;
  // What was done without a word is looked at only where it did something.
  const isUnknown = outcome === undefined;
  switch (kind) {
    case 'put':
      return isUnknown || isTold(live) ? [written] : [];
    case 'create':
      if (isUnknown) return live ? [] : [written];
      return (outcome === 'ok') === !live ? [live ? state : written] : [];
    case 'exchange': {
      // The store draws another revision when it is read; nobody is told which.
      const holds = state !== undefined && !state.isRead && isSameRevision(expected, state);
      if (isUnknown) return holds ? [written] : [];
      // It may end while it is being replaced, but not before.
      if (outcome === 'ok') return holds && !hasEnded(state, seen.clockCalled) ? [written] : [];
      return holds && live && state.revision !== 'unknown' ? [] : [state];
    }
    case 'remove':
      if (isUnknown) return state === undefined ? [] : [undefined];
      return isTold(live) ? [undefined] : [];
    case 'wrong':
      if (isUnknown) return [];
      return (outcome === 'WRONG_KEY') === live ? [state] : [];
    default:
      return statesAfterGet(seen, live ? state : undefined, state);
  }
}

function statesAfterGet(
  { outcome, found }: Seen,
  live: State | undefined,
  state: State | undefined,
): (State | undefined)[] {
  const read = live?.once ? { ...live, isRead: true } : state;
  if (outcome === undefined) return live?.once && !live.isRead ? [read] : [];
  if (outcome === 'NOT_FOUND') return live === undefined ? [state] : [];
  if (outcome === 'ALREADY_READ') return live?.isRead ? [state] : [];
  if (live === undefined || live.isRead || found?.value !== live.value) return [];
  if (!live.once && !isSameRevision(found.revision, live)) return [];
  return [live.once ? read : { ...live, revision: found.revision ?? live.revision }];
}

function hasEnded({ expiryMs }: State, clock: number): boolean {
  return expiryMs !== 0 && expiryMs <= clock;
}

function isSameRevision(revision: string | undefined, state: State): boolean {
  return state.revision === 'unknown' || revision === state.revision;
}
