/** What waits beside commands that may be stuck: `lib/store/beside.ts`, in both of its places. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import type { Collection } from 'mongodb';
import { GROUP_LIMITS, GroupCommit, Write } from '../../lib/store/group.ts';
import type { ValueDocument } from '../../lib/store/mongo-document.ts';
import { BESIDE_AFTER_MS, MongoReads } from '../../lib/store/mongo-read.ts';
import { ALWAYS } from '../../lib/store/store.ts';
import { recordKey, value } from '../helpers/store-values.ts';

const LARGE = 64;
const AT_ONCE_MAX = 8;

/** Commands that end when the test says so. */
class Commands {
  /** What each has, in their order. */
  readonly sizes: number[] = [];
  readonly #ends: (() => void)[] = [];

  begin(size: number): Promise<void> {
    this.sizes.push(size);
    return new Promise((resolve) => this.#ends.push(resolve));
  }

  /** Ends the oldest. */
  async end(): Promise<void> {
    this.#ends.shift()?.();
    await turns();
  }
}

/** Time for what is begun at the end of a turn. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
}

interface Queue {
  add(number: number): void;
  idle(): Promise<void>;
}

const nothing = () => undefined;

function writes(commands: Commands): Queue {
  const writer = async (group: readonly Write[]) => {
    await commands.begin(group.length);
  };
  const queue = new GroupCommit(writer, {
    ...GROUP_LIMITS,
    groupsAtOnceMax: AT_ONCE_MAX,
    besideCountMin: LARGE,
    besideAfterMs: BESIDE_AFTER_MS,
  });
  const add = (number: number) => {
    const request = { key: recordKey(number), value: value('x'), condition: ALWAYS };
    queue.add(new Write('put', { ...request, resolve: nothing, reject: nothing }));
  };
  return { add, idle: () => queue.idle() };
}

function reads(commands: Commands): Queue {
  const find = ({ _id }: { _id: { $in: Buffer[] } }) => ({
    toArray: async () => {
      await commands.begin(_id.$in.length);
      return [];
    },
  });
  const collection = { find } as unknown as Collection<ValueDocument>;
  const queue = new MongoReads(collection, Date.now, (command) => command);
  const add = (number: number) =>
    queue.add({ key: recordKey(number), bodyBytesMax: -1, resolve: nothing, reject: nothing });
  return { add, idle: () => queue.idle() };
}

for (const [name, make] of Object.entries({ writes, reads })) {
  describe(`a few ${name} beside others`, () => {
    let commands: Commands;
    let queue: Queue;
    let count = 0;
    beforeEach(() => {
      mock.timers.enable({ apis: ['setTimeout'] });
      commands = new Commands();
      queue = make(commands);
    });
    afterEach(async () => {
      for (let command = 0; command <= AT_ONCE_MAX; command++) await commands.end();
      await queue.idle();
      mock.timers.reset();
    });

    const add = async (more: number) => {
      for (let one = 0; one < more; one++) queue.add(count++);
      await turns();
    };

    it('wait for a while, and begin then', async () => {
      await add(1);
      await add(2);
      mock.timers.tick(BESIDE_AFTER_MS - 1);
      await turns();
      assert.deepEqual(commands.sizes, [1]);
      mock.timers.tick(1);
      await turns();
      assert.deepEqual(commands.sizes, [1, 2]);
    });

    it('do not wait once more, if their while ends when no more may be under way', async () => {
      const full = Array(AT_ONCE_MAX).fill(LARGE);
      for (const size of full) await add(size);
      await add(1);
      mock.timers.tick(BESIDE_AFTER_MS);
      await turns();
      assert.deepEqual(commands.sizes, full);
      await commands.end();
      assert.deepEqual(commands.sizes, [...full, 1]);
      // The next ones have a while of their own.
      await commands.end();
      await add(1);
      assert.equal(commands.sizes.length, AT_ONCE_MAX + 1);
      mock.timers.tick(BESIDE_AFTER_MS);
      await turns();
      assert.equal(commands.sizes.length, AT_ONCE_MAX + 2);
      await commands.end();
    });
  });
}
