import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LevelDatabase } from '../../lib/store/level-database.ts';
import { QuickReads } from '../../lib/store/level-quick.ts';

/** A database of which each lookup without a thread takes so long, by a clock of its own. */
class TimedDatabase {
  nowMs = 1_000;
  lookupMs: number;
  readonly atOnce: string[] = [];
  readonly byThread: string[] = [];

  constructor(lookupMs: number) {
    this.lookupMs = lookupMs;
  }

  getSync(key: Buffer): Buffer | undefined {
    this.nowMs += this.lookupMs;
    this.atOnce.push(key.toString());
    return valueOfKey(key);
  }

  async getMany(keys: Buffer[]): Promise<(Buffer | undefined)[]> {
    this.byThread.push(...keys.map(String));
    return keys.map(valueOfKey);
  }

  get database(): LevelDatabase {
    return this as unknown as LevelDatabase;
  }
}

/** There is nothing under keys that end in 3. */
function valueOfKey(key: Buffer): Buffer | undefined {
  return key.toString().endsWith('3') ? undefined : Buffer.from(`of ${key}`);
}

const KEYS = Array.from({ length: 100 }, (_, number) => Buffer.from(`k${number}`));
const NAMES = KEYS.map(String);

describe('QuickReads', () => {
  it('asks no thread for what lies in memory', async () => {
    const timed = new TimedDatabase(0.002);
    const quick = new QuickReads(() => timed.nowMs);
    for (let round = 0; round < 3; round++) {
      const found = await quick.getEach(timed.database, KEYS);
      assert.deepEqual(found, KEYS.map(valueOfKey));
    }
    assert.equal(timed.atOnce.length, 300);
    assert.deepEqual(timed.byThread, []);
  });

  it('leaves to a thread what it has no time for', async () => {
    const timed = new TimedDatabase(0.03);
    const quick = new QuickReads(() => timed.nowMs);
    assert.deepEqual(await quick.getEach(timed.database, KEYS), KEYS.map(valueOfKey));
    assert.deepEqual([...timed.atOnce, ...timed.byThread], NAMES);
    assert.ok(timed.atOnce.length > 30 && timed.atOnce.length < 40, `${timed.atOnce.length}`);
    // None of them waited for the disk, so the next are begun in the same way.
    await quick.getEach(timed.database, KEYS.slice(0, 1));
    assert.equal(timed.atOnce.at(-1), 'k0');
  });

  it('notices one lookup that waited among many that did not', async () => {
    const timed = new TimedDatabase(0.002);
    const quick = new QuickReads(() => timed.nowMs);
    await quick.getEach(timed.database, KEYS.slice(0, 90));
    timed.lookupMs = 3;
    await quick.getEach(timed.database, KEYS.slice(90));
    assert.equal(timed.atOnce.length, 91);
    assert.deepEqual(timed.byThread, NAMES.slice(91));
  });

  it('leaves a disk to threads that takes longer than the pause', async () => {
    const timed = new TimedDatabase(250);
    const quick = new QuickReads(() => timed.nowMs);
    for (let call = 0; call < 5; call++) await quick.getEach(timed.database, KEYS);
    assert.equal(timed.atOnce.length, 1);
    timed.nowMs += 99;
    await quick.getEach(timed.database, KEYS);
    assert.equal(timed.atOnce.length, 1);
  });

  it('waits in a thread once the disk had to be waited for, and tries again later', async () => {
    const timed = new TimedDatabase(8);
    const quick = new QuickReads(() => timed.nowMs);
    assert.deepEqual(await quick.getEach(timed.database, KEYS), KEYS.map(valueOfKey));
    assert.deepEqual(timed.atOnce, ['k0']);
    assert.deepEqual(timed.byThread, NAMES.slice(1));
    await quick.getEach(timed.database, KEYS);
    assert.equal(timed.atOnce.length, 1);
    timed.nowMs += 100;
    timed.lookupMs = 0.002;
    await quick.getEach(timed.database, KEYS);
    assert.equal(timed.atOnce.length, 101);
  });
});
