/**
 * Whether what was seen of one record can have been the work of a single, unhurried server: the
 * search of Wing and Gong (1993) for an order of the operations that respects time.
 */

/** One operation that was asked for, and what came of it. */
export interface Seen {
  readonly calledAt: number;
  /** Infinity where no answer came: it may have been done any time, or never. */
  answeredAt: number;
  readonly kind: 'put' | 'create' | 'exchange' | 'remove' | 'get';
  /** Of what is written. */
  readonly value?: string;
  /** When that ends, on the clock of the test; 0 is never. */
  readonly expiryMs?: number;
  /** What an exchange expects. */
  readonly expected?: string;
  /** Whether a put may have taken what was left of a deleted record for one. */
  mayCountGraves?: boolean;
  /** What was answered: `ok`, `CONFLICT`, `NOT_FOUND`. */
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
}

/** Whether there is such an order. The record is not there at first. */
export function isLinearizable(history: readonly Seen[]): boolean {
  const ended = history.filter((seen) => Number.isFinite(seen.answeredAt));
  const dead = new Set<string>();
  // Between two of these moments nothing changes.
  const clocks = [...new Set(history.flatMap(momentsOf))]
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const search = (done: ReadonlySet<Seen>, state: State | undefined, clock: number): boolean => {
    if (ended.every((seen) => done.has(seen))) return true;
    const ids = history.map((seen) => (done.has(seen) ? 1 : 0)).join('');
    const id = `${ids} ${state?.value} ${state?.revision} ${clock}`;
    if (dead.has(id)) return false;
    dead.add(id);
    const open = history.filter((seen) => !done.has(seen));
    const firstAnswer = Math.min(...open.map((seen) => seen.answeredAt));
    for (const seen of open) {
      if (seen.calledAt > firstAnswer) continue;
      for (const at of clocks) {
        if (at < Math.max(clock, seen.clockCalled) || at > seen.clockAnswered) continue;
        for (const next of statesAfter(seen, state, at)) {
          if (search(new Set([...done, seen]), next, at)) return true;
        }
      }
    }
    return false;
  };
  return search(new Set(), undefined, 0);
}

function momentsOf({ clockCalled, clockAnswered, expiryMs = 0 }: Seen): number[] {
  return [clockCalled, clockAnswered, expiryMs, expiryMs - 1];
}

/** The states that the operation can have led to; none where its answer contradicts. */
function statesAfter(seen: Seen, state: State | undefined, at: number): (State | undefined)[] {
  const live = state !== undefined && (state.expiryMs === 0 || state.expiryMs > at);
  const { kind, outcome, found, value = '', expiryMs = 0, expected } = seen;
  const written = { value, revision: found?.revision ?? 'unknown', expiryMs };
  // Whether what ended by itself counts as replaced, nobody promises.
  const isTold = (there: boolean) =>
    found?.there === there ||
    (state?.expiryMs ?? 0) > 0 ||
    (seen.mayCountGraves === true && found?.there === true);
  const isUnknown = outcome === undefined;
  switch (kind) {
    case 'put':
      return isUnknown || isTold(live) ? [written] : [];
    case 'create':
      if (isUnknown) return live ? [state] : [written];
      return (outcome === 'ok') === !live ? [live ? state : written] : [];
    case 'exchange': {
      const holds = state !== undefined && state.revision === expected;
      if (isUnknown) return holds ? [written, state] : [state];
      if (outcome === 'ok') return holds ? [written] : [];
      return holds && live ? [] : [state];
    }
    case 'remove':
      return isUnknown || isTold(live) ? [undefined] : [];
    default:
      if (isUnknown) return [state];
      if (outcome === 'NOT_FOUND') return live ? [] : [state];
      return live && found?.value === state.value && isSameRevision(found.revision, state)
        ? [state]
        : [];
  }
}

function isSameRevision(revision: string | undefined, state: State): boolean {
  return state.revision === 'unknown' || revision === state.revision;
}
