import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { GROUP_LIMITS, GroupCommit, Write } from '../../lib/store/group.ts';
import { ALWAYS, type PutResult } from '../../lib/store/store.ts';
import { outcomesOf, recordKey, value } from '../helpers/store-values.ts';

const RESULT: PutResult = { revision: Buffer.alloc(8), replaced: false };

/** A queue whose groups are written when the test says so. */
class SlowWriter {
  readonly groups: (readonly Write[])[] = [];
  readonly queue: GroupCommit;
  #finish: (() => void) | undefined;
  #arrived: (() => void) | undefined;

  constructor(limits = GROUP_LIMITS) {
    this.queue = new GroupCommit((group) => this.#write(group), limits);
  }

  put(number: number, bodyBytes = 1): Promise<PutResult> {
    const put = new Promise<PutResult>((resolve, reject) => {
      const request = { key: recordKey(number), value: value(Buffer.alloc(bodyBytes)) };
      this.queue.add(new Write('put', { ...request, condition: ALWAYS, resolve, reject }));
    });
    // Looked at when the test ends; until then a rejection is not unhandled.
    put.catch(() => undefined);
    return put;
  }

  /** Resolves to the numbers of the keys of the group that is being written. */
  async group(): Promise<number[]> {
    if (this.#finish === undefined) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    return this.groups.at(-1)?.map((write) => write.key.readUInt32BE(2)) ?? [];
  }

  finish(): void {
    for (const write of this.groups.at(-1) ?? []) write.resolve(RESULT);
    this.#finish?.();
    this.#finish = undefined;
  }

  #write(group: readonly Write[]): Promise<void> {
    this.groups.push(group);
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.#arrived?.();
    });
  }
}

describe('group commit', () => {
  it('takes the writes of one turn, then those that came meanwhile', async () => {
    const writer = new SlowWriter();
    const puts = [writer.put(1), writer.put(2)];
    assert.deepEqual(await writer.group(), [1, 2]);
    puts.push(writer.put(3), writer.put(4), writer.put(5));
    writer.finish();
    assert.deepEqual(await writer.group(), [3, 4, 5]);
    writer.finish();
    await Promise.all([...puts, writer.queue.idle()]);
    assert.equal(writer.groups.length, 2);
  });

  it('has one write of a key in a group, in their order', async () => {
    const writer = new SlowWriter();
    const done: string[] = [];
    const put = (number: number, name: string) =>
      writer.put(number).then(() => {
        done.push(name);
      });
    const puts = [put(1, 'a1'), put(1, 'a2'), put(2, 'b1'), put(1, 'a3')];
    assert.deepEqual(await writer.group(), [1, 2]);
    puts.push(put(2, 'b2'));
    writer.finish();
    assert.deepEqual(await writer.group(), [1, 2]);
    writer.finish();
    assert.deepEqual(await writer.group(), [1]);
    writer.finish();
    await Promise.all(puts);
    assert.deepEqual(done, ['a1', 'b1', 'a2', 'b2', 'a3']);
  });

  it('bounds a group in writes and in bytes; a larger write goes alone', async () => {
    const limits = { groupCountMax: 3, groupBytesMax: 10_000, waitingBytesMax: 1_000_000 };
    const writer = new SlowWriter(limits);
    const sizes = [1, 1, 1, 1, 4000, 4000, 20_000, 1];
    const puts = sizes.map((bodyBytes, index) => writer.put(index, bodyBytes));
    for (const expected of [[0, 1, 2], [3, 4, 5], [6], [7]]) {
      assert.deepEqual(await writer.group(), expected);
      writer.finish();
    }
    await Promise.all(puts);
  });

  it('refuses what is too much to wait, and takes more when there is room', async () => {
    const writer = new SlowWriter({ ...GROUP_LIMITS, waitingBytesMax: 10_000 });
    const puts = [writer.put(1, 5000), writer.put(2, 5000), writer.put(3, 4000)];
    assert.deepEqual(await writer.group(), [1]);
    puts.push(writer.put(4, 9000));
    writer.finish();
    assert.deepEqual(await writer.group(), [4]);
    writer.finish();
    assert.deepEqual(await outcomesOf(puts), ['done', 'OVERLOADED', 'OVERLOADED', 'done']);
  });

  it('fails what waits, and only that', async () => {
    const writer = new SlowWriter();
    const puts = [writer.put(1), writer.put(1), writer.put(1)];
    await writer.group();
    puts.push(writer.put(2), writer.put(2));
    writer.queue.failWaiting(new EncServerError('UNAVAILABLE', 'not now'));
    puts.push(writer.put(1));
    writer.finish();
    assert.deepEqual(await writer.group(), [1]);
    writer.finish();
    const failed = Array(4).fill('UNAVAILABLE');
    assert.deepEqual(await outcomesOf(puts), ['done', ...failed, 'done']);
    await writer.queue.idle();
  });

  for (const settles of [false, true]) {
    it(`is idle only once all is answered, the writer ${settles ? 'settling later' : 'settling'}`, async () => {
      const answered: number[] = [];
      const queue = new GroupCommit(async (group) => {
        await new Promise(setImmediate);
        const settle = () => {
          for (const write of group) write.resolve(RESULT);
        };
        if (settles) return settle;
        settle();
        return undefined;
      });
      for (const number of [1, 2, 1, 1, 3]) {
        const request = { key: recordKey(number), value: value('x'), condition: ALWAYS };
        const resolve = () => answered.push(number);
        queue.add(new Write('put', { ...request, resolve, reject: assert.fail }));
      }
      await queue.idle();
      assert.deepEqual(answered, [1, 2, 3, 1, 1]);
    });
  }

  it('fails a group whose writer throws, and goes on', async () => {
    let calls = 0;
    const queue = new GroupCommit(async (group) => {
      calls++;
      if (calls === 1) throw new TypeError('a defect');
      for (const write of group) write.resolve(RESULT);
    });
    const put = () =>
      new Promise<PutResult>((resolve, reject) => {
        const request = { key: recordKey(1), value: value('x'), condition: ALWAYS };
        queue.add(new Write('put', { ...request, resolve, reject }));
      });
    assert.deepEqual(await outcomesOf([put(), put()]), ['INTERNAL', 'done']);
  });

  it('has as many groups under way as it may, and no key in two of them', async () => {
    const groups: (readonly Write[])[] = [];
    const finish: (() => void)[] = [];
    const writer = (group: readonly Write[]) => {
      groups.push(group);
      return new Promise<void>((resolve) => finish.push(resolve));
    };
    const limits = { ...GROUP_LIMITS, groupCountMax: 2, groupsAtOnceMax: 2 };
    const queue = new GroupCommit(writer, limits);
    for (const number of [1, 2, 3, 1, 4, 5]) {
      const request = { key: recordKey(number), value: value('x'), condition: ALWAYS };
      queue.add(new Write('put', { ...request, resolve: () => {}, reject: () => {} }));
    }
    const numbers = () => groups.map((group) => group.map(({ key }) => key.readUInt32BE(2)));
    const turns = async () => {
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    };
    await turns();
    assert.deepEqual(numbers(), [
      [1, 2],
      [3, 4],
    ]);
    finish[1]?.();
    await turns();
    assert.deepEqual(numbers(), [[1, 2], [3, 4], [5]]);
    finish[0]?.();
    await turns();
    assert.deepEqual(numbers(), [[1, 2], [3, 4], [5], [1]]);
    for (const one of finish) one();
    await queue.idle();
  });

  it('lets a small group wait for the one under way, and a large one not', async () => {
    const writer = new SlowWriter({ ...GROUP_LIMITS, groupsAtOnceMax: 2, besideCountMin: 2 });
    const puts = [writer.put(1)];
    assert.deepEqual(await writer.group(), [1]);
    puts.push(writer.put(2));
    await new Promise(setImmediate);
    assert.deepEqual(await writer.group(), [1]);
    puts.push(writer.put(3));
    await new Promise(setImmediate);
    assert.deepEqual(await writer.group(), [2, 3]);
    writer.queue.failWaiting(new EncServerError('UNAVAILABLE', 'not now'));
    writer.finish();
    assert.deepEqual(await outcomesOf(puts.slice(1)), ['done', 'done']);
  });

  it('is idle when it has nothing to do', async () => {
    await new SlowWriter().queue.idle();
  });
});
