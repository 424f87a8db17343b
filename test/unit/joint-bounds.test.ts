/** Bounds that several processes keep together: whatever they do at once, none gets more. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import type { BoundName } from '../../lib/auth/bounds.ts';
import { BoundsAccount, SharedBounds, type Taken } from '../../lib/auth/joint-bounds.ts';

const MAX = 100;
const SETTINGS = {
  requestsPerSecondMax: MAX,
  wrongKeysPerMinuteMax: MAX,
  wrongTokensPerMinuteMax: 0,
};

/** Several processes and their account, on a clock of the test's own; telling takes no time. */
class Processes {
  now = 0;
  readonly account = new BoundsAccount(SETTINGS, () => this.now);
  readonly all: SharedBounds[] = [];
  /** What was told and has not arrived. */
  readonly #underWay: (readonly [teller: SharedBounds, taken: Taken])[] = [];

  constructor(count: number) {
    for (let index = 0; index < count; index++) this.add(count);
  }

  add(count: number): SharedBounds {
    const tell = (taken: Taken) => this.#underWay.push([bounds, taken]);
    const bounds: SharedBounds = new SharedBounds(SETTINGS, count, tell, () => this.now);
    bounds.learn(this.account.left);
    this.all.push(bounds);
    return bounds;
  }

  /** Everybody tells, and hears of it. */
  exchange(): void {
    for (const bounds of this.all) bounds.tellNow();
    for (const [teller, taken] of this.#underWay.splice(0)) {
      const left = this.account.take(taken);
      for (const bounds of this.all) {
        if (bounds === teller) bounds.answered(left);
        else bounds.learn(left);
      }
    }
  }

  /** How many of `tries` are let through by one process. */
  take(index: number, tries: number, who = 'a', name: BoundName = 'requests'): number {
    const bound = this.#of(index).of(name);
    return Array.from({ length: tries }, () => bound.take(who)).filter(Boolean).length;
  }

  #of(index: number): SharedBounds {
    return this.all[index] as SharedBounds;
  }

  close(): void {
    for (const bounds of this.all) bounds.close();
  }
}

describe('shared bounds', () => {
  let processes: Processes;
  afterEach(() => processes.close());
  const start = (count: number) => {
    processes = new Processes(count);
    return processes;
  };

  it('lets all processes together have no more than one would have', () => {
    const four = start(4);
    let taken = 0;
    for (let index = 0; index < 4; index++) taken += four.take(index, 1_000);
    assert.equal(taken, MAX);
    four.exchange();
    for (let index = 0; index < 4; index++) assert.equal(four.take(index, 1_000), 0);
  });

  it('gives a caller that one process serves all of it, a part at a time', () => {
    const two = start(2);
    const parts: number[] = [];
    for (let round = 0; round < 10; round++) {
      parts.push(two.take(0, 1_000));
      two.exchange();
    }
    assert.deepEqual(parts, [50, 25, 12, 6, 3, 2, 1, 1, 0, 0]);
    assert.equal(two.take(1, 1), 0);
  });

  it('fills at the pace of one, whichever process is asked', () => {
    const two = start(2);
    two.take(0, 1_000);
    two.take(1, 1_000);
    two.exchange();
    let taken = 0;
    for (; two.now < 10_000; two.now += 50) {
      taken += two.take(0, 1_000) + two.take(1, 1_000);
      two.exchange();
    }
    // 100 a second, and what is lent for a moment.
    assert.ok(taken >= 990 && taken <= 1_002, String(taken));
  });

  it('remembers for a process that begins what others have had', () => {
    const two = start(2);
    two.take(0, 1_000);
    two.take(1, 1_000);
    two.exchange();
    two.add(2);
    assert.equal(two.take(2, 1_000), 0);
    assert.equal(two.take(2, 1_000, 'b'), MAX / 2);
  });

  it('counts what has happened already, and lets it be waited off', () => {
    const two = start(2);
    const wrongKeys = two.all.map((bounds) => bounds.of('wrongKeys'));
    for (const bound of wrongKeys) {
      for (let count = 0; count < 70; count++) bound.note('a');
    }
    two.exchange();
    for (const bound of wrongKeys) assert.equal(bound.has('a'), false);
    // 140 of 100: 40 are owed, and there are 100 in a minute.
    for (const bound of wrongKeys) assert.equal(Math.round(bound.dueMs('a')), 24_600);
    two.now = 24_000;
    for (const bound of wrongKeys) assert.equal(bound.has('a'), false);
    two.now = 25_000;
    for (const bound of wrongKeys) assert.equal(bound.has('a'), true);
    // Each caller, and each bound, by itself.
    assert.equal(wrongKeys[0]?.has('b'), true);
    assert.equal(two.take(0, 1), 1);
  });

  it('lets a debt be waited off in ten windows, whether or not it was told', () => {
    const two = start(2);
    const [mine, other] = two.all.map((bounds) => bounds.of('wrongKeys'));
    for (let count = 0; count < 20 * MAX; count++) mine?.note('a');
    assert.equal(mine?.dueMs('a'), 600_000);
    two.exchange();
    for (let count = 0; count < 20 * MAX; count++) mine?.note('a');
    for (const bound of [mine, other]) assert.equal(bound?.dueMs('a'), 600_000);
    two.exchange();
    for (const bound of [mine, other]) assert.equal(bound?.dueMs('a'), 600_000);
  });

  it('bounds nothing where there is no bound', () => {
    assert.equal(start(2).take(0, 100_000, 'a', 'wrongTokens'), 100_000);
  });

  it('never lets more through than a bucket and its debt, in whatever order all goes on', () => {
    const step = fc.oneof(
      fc.record({ process: fc.nat(2), tries: fc.nat(150) }),
      fc.constant('exchange' as const),
      fc.record({ waitMs: fc.nat(300) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const three = new Processes(3);
        let taken = 0;
        for (const one of steps) {
          if (one === 'exchange') three.exchange();
          else if ('waitMs' in one) three.now += one.waitMs;
          else taken += three.take(one.process, one.tries);
        }
        three.close();
        // A bucket, what it filled by, and one for each process where fewer are left than those.
        const filled = (three.now * MAX) / 1_000;
        assert.ok(taken <= MAX + filled + 3, `${taken} in ${three.now} ms`);
      }),
    );
  });
});
