/** The checker of histories is tried on those that one server can have given, and on those it cannot. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLinearizable, type Seen } from '../helpers/register-check.ts';

type Told = Partial<Omit<Seen, 'kind'>> & { readonly kind: Seen['kind'] };

/** Each operation after the one before, unless it says otherwise. */
function historyOf(...told: Told[]): Seen[] {
  return told.map((one, index) => ({
    calledAt: 10 * index,
    answeredAt: 10 * index + 5,
    clockCalled: 10 * index,
    clockAnswered: 10 * index + 5,
    outcome: 'ok',
    ...one,
  }));
}

const put = (value: string, more: Partial<Seen> = {}): Told => ({
  kind: 'put',
  value,
  found: { revision: `of ${value}`, there: false },
  ...more,
});
const over = (value: string, more: Partial<Seen> = {}) =>
  put(value, { found: { revision: `of ${value}`, there: true }, ...more });
const got = (value: string): Told => ({
  kind: 'get',
  found: { value, revision: `of ${value}` },
});
const none: Told = { kind: 'get', outcome: 'NOT_FOUND' };
const removed: Told = { kind: 'remove', found: { there: true } };
const lost = (one: Told): Told => {
  const { outcome, found, ...rest } = one;
  return {
    ...rest,
    outcome: undefined,
    answeredAt: Number.POSITIVE_INFINITY,
    clockAnswered: Number.POSITIVE_INFINITY,
  } as unknown as Told;
};
const exchange = (value: string, expected: string, outcome = 'ok'): Told => ({
  kind: 'exchange',
  value,
  expected,
  outcome,
  found: { revision: `of ${value}`, there: true },
});

const RIGHT: readonly (readonly [string, Seen[]])[] = [
  ['nothing at all', []],
  [
    'what was stored is read, replaced and deleted',
    historyOf(put('a'), got('a'), over('b'), got('b'), removed, none),
  ],
  ['a lost answer: it was done', historyOf(lost(put('a')), got('a'))],
  ['a lost answer: it was not', historyOf(lost(put('a')), none)],
  ['a lost answer: it was done late', historyOf(lost(put('a')), none, got('a'))],
  [
    'two at once, in either order',
    historyOf(put('a', { answeredAt: 95 }), over('b', { calledAt: 1, answeredAt: 95 }), got('b')),
  ],
  [
    'a condition that holds, and then no more',
    historyOf(put('a'), exchange('b', 'of a'), exchange('c', 'of a', 'CONFLICT')),
  ],
  ['an end', historyOf(put('a', { expiryMs: 12 }), got('a'), none)],
  [
    'one read of what can be read once',
    historyOf(put('a', { once: true }), got('a'), { kind: 'get', outcome: 'ALREADY_READ' }),
  ],
  [
    'a wrong key in between',
    historyOf(put('a', { once: true }), { kind: 'wrong', outcome: 'WRONG_KEY' }, got('a')),
  ],
  [
    'a read whose answer was lost may have burnt it',
    historyOf(put('a', { once: true }), lost({ kind: 'get' }), {
      kind: 'get',
      outcome: 'ALREADY_READ',
    }),
  ],
];

const WRONG: readonly (readonly [string, Seen[]])[] = [
  ['a lost write', historyOf(put('a'), none)],
  ['a stale read', historyOf(put('a'), over('b'), got('a'))],
  ['a value from nowhere', historyOf(put('a'), got('b'))],
  ['a deleted record that comes back', historyOf(put('a'), removed, none, got('a'))],
  [
    'a lost answer that is done, undone and done',
    historyOf(lost(put('a')), got('a'), none, got('a')),
  ],
  [
    'two that both win under one condition',
    historyOf(put('a'), exchange('b', 'of a'), exchange('c', 'of a')),
  ],
  ['a conflict where the condition holds', historyOf(put('a'), exchange('b', 'of a', 'CONFLICT'))],
  [
    'two that both create',
    historyOf({ ...put('a'), kind: 'create' }, { ...put('b'), kind: 'create' }),
  ],
  ['a replacing that replaced nothing', historyOf(over('a'))],
  ['a read after the end', historyOf(put('a', { expiryMs: 8 }), got('a'))],
  ['an end before its time', historyOf(put('a', { expiryMs: 500 }), none)],
  ['two reads of what can be read once', historyOf(put('a', { once: true }), got('a'), got('a'))],
  [
    'burnt by a wrong key',
    historyOf(
      put('a', { once: true }),
      { kind: 'wrong', outcome: 'WRONG_KEY' },
      { kind: 'get', outcome: 'ALREADY_READ' },
    ),
  ],
  ['a wrong key that fits nothing', historyOf({ kind: 'wrong', outcome: 'WRONG_KEY' })],
  [
    'a revision that changed by itself',
    historyOf(put('a'), { kind: 'get', found: { value: 'a', revision: 'other' } }),
  ],
];

describe('a history is right:', () => {
  for (const [title, history] of RIGHT)
    it(title, () => assert.equal(isLinearizable(history), true));
});

describe('a history is wrong:', () => {
  for (const [title, history] of WRONG)
    it(title, () => assert.equal(isLinearizable(history), false));
});
