import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { describe, test } from 'node:test';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { TransientMap, TransientSet } from '../../lib/transient.ts';

const MIB = 1024 * 1024;

describe('A TransientMap', () => {
  test('is what a Map is', () => {
    const key = fc.integer({ min: 0, max: 40 });
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.tuple(fc.constant('set' as const), key) },
      { weight: 5, arbitrary: fc.tuple(fc.constant('delete' as const), key) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('clear' as const), key) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const [ours, theirs] = [new TransientMap<number, number>(), new Map<number, number>()];
        for (const [index, [what, at]] of steps.entries()) {
          if (what === 'delete') {
            strictEqual(ours.delete(at), theirs.delete(at));
          } else if (what === 'set') {
            ours.set(at, index);
            theirs.set(at, index);
          } else {
            ours.clear();
            theirs.clear();
          }
          strictEqual(ours.size, theirs.size);
          strictEqual(ours.has(at), theirs.has(at));
          strictEqual(ours.get(at), theirs.get(at));
        }
        deepStrictEqual([...ours], [...theirs]);
        deepStrictEqual([...ours.keys()], [...theirs.keys()]);
        deepStrictEqual([...ours.values()], [...theirs.values()]);
      }),
    );
  });

  test('keeps nothing that was deleted until a full collection', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as (how?: { type: 'minor' }) => void;
    const map = new TransientMap<number, number[]>();
    map.set(-1, []);
    // What survives is an old object from here on.
    collect();
    const before = oldBytes();
    for (let id = 0; id < 4_000; id++) {
      map.set(id, new Array(128).fill(id));
      map.delete(id - 16);
      if (id % 200 === 0) collect({ type: 'minor' });
    }
    strictEqual(map.size, 16);
    // All of it is 4 MiB; a plain Map leaves most of that among the old objects.
    ok(oldBytes() - before < MIB, `${oldBytes() - before} bytes more of old objects`);
  });
});

describe('A TransientSet', () => {
  test('is what a Set is', () => {
    const set = new TransientSet<string>();
    for (let index = 0; index < 100; index++) {
      set.add(`${index}`);
      if (index >= 3) strictEqual(set.delete(`${index - 3}`), true);
    }
    strictEqual(set.delete('0'), false);
    strictEqual(set.has('99'), true);
    strictEqual(set.has('96'), false);
    strictEqual(set.size, 3);
    deepStrictEqual([...set], ['97', '98', '99']);
  });
});

function oldBytes(): number {
  const old = getHeapSpaceStatistics().find((space) => space.space_name === 'old_space');
  return old?.space_used_size ?? Number.NaN;
}
