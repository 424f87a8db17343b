import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MemoryLevel } from 'memory-level';
import { EncServerError } from '../../lib/errors.ts';
import { bodyKey, expiredRange } from '../../lib/store/keys.ts';
import { LevelStore, type LevelStoreOptions } from '../../lib/store/level.ts';
import {
  type LevelDatabase,
  openClassicLevel,
  openMemoryLevel,
} from '../../lib/store/level-database.ts';
import { IF_ABSENT, TABLE } from '../../lib/store/store.ts';
import {
  outcomesOf,
  patternBytes,
  recordKey,
  rejectsWith,
  value,
} from '../helpers/store-values.ts';

/** A database in memory that fails on demand, as a disk does: only writes, or everything. */
class FailingLevel extends MemoryLevel<Buffer, Buffer> {
  failures = { write: 0, read: 0, open: 0, code: 'LEVEL_IO_ERROR' };

  constructor() {
    super({ keyEncoding: 'buffer', valueEncoding: 'buffer' });
  }

  async _batch(...args: unknown[]): Promise<void> {
    this.#maybeFail('write');
    // @ts-expect-error: the private API of abstract-level has no types.
    await super._batch(...args);
  }

  async _getMany(...args: unknown[]): Promise<(Buffer | undefined)[]> {
    this.#maybeFail('read');
    // @ts-expect-error: the private API of abstract-level has no types.
    return await super._getMany(...args);
  }

  _getSync(...args: unknown[]): Buffer | undefined {
    this.#maybeFail('read');
    // @ts-expect-error: the private API of abstract-level has no types.
    return super._getSync(...args);
  }

  async _open(): Promise<void> {
    this.#maybeFail('open');
  }

  #maybeFail(kind: 'write' | 'read' | 'open'): void {
    if (this.failures[kind] === 0) return;
    this.failures[kind]--;
    throw Object.assign(new Error('IO error'), { code: this.failures.code });
  }
}

interface Failing {
  readonly store: LevelStore;
  readonly level: FailingLevel;
  readonly logged: string[];
}

async function openFailing(options: Partial<LevelStoreOptions> = {}): Promise<Failing> {
  const level = new FailingLevel();
  const logged: string[] = [];
  const open = async (): Promise<LevelDatabase> => {
    await level.open();
    return level;
  };
  const store = await LevelStore.open({
    kind: 'level',
    place: 'here',
    open,
    reopenDelays: { firstMs: 1, longestMs: 4 },
    log: (_level, message) => logged.push(message),
    ...options,
  });
  return { store, level, logged };
}

async function untilHealthy(store: LevelStore): Promise<void> {
  while (!store.health().ok) await delay(1);
}

describe('a level store whose writes fail', () => {
  it('says that it does not know, opens the database again, and goes on', async () => {
    const { store, level, logged } = await openFailing();
    await store.put(recordKey(1), value('kept'));
    level.failures.write = 1;
    const group = [store.put(recordKey(1), value('x')), store.delete(recordKey(1))];
    group.push(store.put(recordKey(2), value('y')), store.put(recordKey(1), value('z'), IF_ABSENT));
    const outcomes = await outcomesOf(group);
    assert.deepEqual(outcomes, [
      'UNKNOWN_OUTCOME',
      'UNAVAILABLE',
      'UNKNOWN_OUTCOME',
      'UNAVAILABLE',
    ]);
    assert.deepEqual(store.health(), { ok: false, reason: 'the database is being opened again' });
    await rejectsWith(store.put(recordKey(3), value('x')), 'UNAVAILABLE');
    await rejectsWith(store.get(recordKey(1)), 'UNAVAILABLE');
    await rejectsWith(store.scan(Buffer.from([TABLE.RECORDS]), undefined, 1), 'UNAVAILABLE');
    await untilHealthy(store);
    assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'kept');
    await store.put(recordKey(3), value('new'));
    assert.deepEqual(logged, ['a write failed', 'the database was opened again']);
    assert.equal((await store.stats()).records, 2);
    await store.close();
  });

  it('tries until the database opens', async () => {
    const { store, level, logged } = await openFailing();
    level.failures.write = 1;
    level.failures.open = 4;
    await rejectsWith(store.put(recordKey(1), value('x')), 'UNKNOWN_OUTCOME');
    await untilHealthy(store);
    await store.put(recordKey(1), value('x'));
    const attempts = logged.filter((line) => line === 'the database could not be opened again');
    assert.equal(attempts.length, 4);
    await store.close();
  });

  it('lets reads finish before it closes the database, and ends snapshots', async () => {
    const { store, level } = await openFailing();
    await store.put(recordKey(1), value(patternBytes(9000)));
    const snapshot = await store.snapshot();
    level.failures.write = 1;
    const put = store.put(recordKey(2), value('x'));
    const reads = [store.get(recordKey(1)), snapshot.get(recordKey(1))];
    await rejectsWith(put, 'UNKNOWN_OUTCOME');
    assert.deepEqual(await outcomesOf(reads), ['done', 'done']);
    await untilHealthy(store);
    await rejectsWith(snapshot.get(recordKey(1)), 'UNAVAILABLE');
    await snapshot.close();
    await store.close();
  });

  it('can be closed while the database does not open', async () => {
    let released = 0;
    const release = async () => {
      released++;
    };
    const { store, level } = await openFailing({
      release,
      reopenDelays: { firstMs: 60_000, longestMs: 60_000 },
    });
    level.failures.write = 1;
    level.failures.open = 1;
    await rejectsWith(store.put(recordKey(1), value('x')), 'UNKNOWN_OUTCOME');
    await store.close();
    assert.deepEqual(store.health(), { ok: false, reason: 'the store is closed' });
    assert.equal(released, 1);
  });

  it('does nothing when it cannot read what is there', async () => {
    const { store, level } = await openFailing();
    await store.put(recordKey(1), value('kept'));
    level.failures.read = 2;
    await rejectsWith(store.put(recordKey(1), value('x')), 'UNAVAILABLE');
    await rejectsWith(store.get(recordKey(1)), 'UNAVAILABLE');
    level.failures = { ...level.failures, read: 1, code: 'LEVEL_CORRUPTION' };
    await rejectsWith(store.get(recordKey(1)), 'STORE_DAMAGED');
    assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'kept');
    assert.equal(store.health().ok, true);
    await store.close();
  });

  it('lets a damaged value be replaced and deleted, and nothing else be done with it', async () => {
    const { store, level } = await openFailing();
    const large = value(patternBytes(100_000));
    for (const finish of ['put', 'delete'] as const) {
      await store.put(recordKey(1), large);
      await level.put(recordKey(1), Buffer.from('damaged'));
      await rejectsWith(store.get(recordKey(1)), 'STORE_DAMAGED');
      await rejectsWith(store.put(recordKey(1), large, IF_ABSENT), 'STORE_DAMAGED');
      const records = (await store.stats()).records;
      if (finish === 'delete') {
        assert.equal(await store.delete(recordKey(1)), true);
        assert.equal(await store.get(recordKey(1)), undefined);
        assert.equal((await store.stats()).records, records - 1);
      } else {
        assert.equal((await store.put(recordKey(1), value('new'))).replaced, true);
        assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'new');
        assert.equal((await store.stats()).records, records);
      }
      assert.equal(await level.get(bodyKey(recordKey(1))), undefined);
    }
    await store.close();
  });

  it('passes on why it could not be opened', async () => {
    const open = async () => {
      throw new EncServerError('FOLDER_LOCKED', 'taken');
    };
    await rejectsWith(LevelStore.open({ kind: 'level', place: '', open }), 'FOLDER_LOCKED');
  });
});

describe('a folder', () => {
  it('without the file that says what counts is left as it is', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-'));
    const open = () => openClassicLevel(folder);
    try {
      const level = await open();
      await level.batch([{ type: 'put', key: recordKey(1), value: Buffer.from('x') }], {
        sync: true,
      });
      await level.close();
      const current = await readFile(join(folder, 'CURRENT'));
      await rm(join(folder, 'CURRENT'));
      const names = await readdir(folder);
      await rejectsWith(open(), 'STORE_DAMAGED');
      assert.deepEqual(await readdir(folder), names);
      await writeFile(join(folder, 'CURRENT'), current);
      const again = await open();
      assert.deepEqual(await again.getMany([recordKey(1)]), [Buffer.from('x')]);
      await again.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('damaged values', () => {
  it('are named as such, and those beside them are read', async () => {
    const { store, level } = await openFailing();
    for (const number of [1, 2, 3]) await store.put(recordKey(number), value('x'));
    await store.put(recordKey(4), value(patternBytes(9000)));
    await store.put(recordKey(5), value(patternBytes(9000)));
    await level.put(recordKey(2), Buffer.from('no value'));
    await level.put(bodyKey(recordKey(4)), Buffer.from('too short'));
    await level.del(bodyKey(recordKey(5)));
    const outcomes = await outcomesOf(
      [1, 2, 3, 4, 5].map((number) => store.get(recordKey(number))),
    );
    const damaged = 'STORE_DAMAGED';
    assert.deepEqual(outcomes, ['done', damaged, 'done', damaged, damaged]);
    await rejectsWith(store.put(recordKey(2), value('x'), IF_ABSENT), damaged);
    await rejectsWith(store.scan(Buffer.from([TABLE.RECORDS]), undefined, 5), damaged);
    await store.close();
  });
});

describe('expired values', () => {
  it('are swept, the oldest first, with their bodies and index', async () => {
    let nowMs = 1000;
    const { store, level } = await openFailing({ now: () => nowMs });
    const expiries = [5000, 2000, 3000, 0, 4000];
    for (const [number, expiryMs] of expiries.entries()) {
      await store.put(recordKey(number), value(patternBytes(number * 3000), expiryMs));
    }
    assert.equal(await store.sweepExpired(10), 0);
    nowMs = 4000;
    assert.equal(await store.get(recordKey(4)), undefined);
    assert.equal((await store.stats()).records, 5);
    assert.equal(await store.sweepExpired(2), 2);
    assert.equal((await store.stats()).records, 3);
    assert.equal(await store.sweepExpired(10), 1);
    assert.equal(await store.sweepExpired(10), 0);
    const kept = await level.keys().all();
    assert.deepEqual(
      kept.map((key) => key[0]),
      // Two records, one of them with an expiry, the other with a body apart.
      [TABLE.RECORDS, TABLE.RECORDS, 3, 4],
    );
    await rejectsWith(store.sweepExpired(0), 'INVALID_FIELD');
    await store.close();
  });

  it('are not swept when they were replaced in between', async () => {
    const { store } = await openFailing({ now: () => 1000 });
    await store.put(recordKey(1), value('old', 500));
    const put = store.put(recordKey(1), value('new'));
    assert.equal(await store.sweepExpired(10), 0);
    await put;
    assert.equal((await store.get(recordKey(1)))?.body?.toString(), 'new');
    await store.close();
  });

  it('leave no index behind, however they go', async () => {
    const { store, level } = await openFailing({ now: () => 1000 });
    for (const expiryMs of [2000, 3000, 0, 4000])
      await store.put(recordKey(1), value('x', expiryMs));
    const { gte, lt } = expiredRange(10_000);
    assert.equal((await level.keys({ gte, lt }).all()).length, 1);
    await store.delete(recordKey(1));
    assert.equal((await level.keys().all()).length, 0);
    await store.close();
  });
});

describe('records', () => {
  it('are scanned in order of their bytes, whatever their length', async () => {
    const store = await LevelStore.open({ kind: 'memory', place: '', open: openMemoryLevel });
    const keys = ['0200', '020000', '0200ff', '0201', '02ff', '02ff00'].map((hex) =>
      Buffer.from(hex, 'hex'),
    );
    for (const key of keys.toReversed()) await store.put(key, value('x'));
    const { items } = await store.scan(Buffer.from([TABLE.FOREIGN]), undefined, 10);
    assert.deepEqual(
      items.map((item) => item.key),
      keys,
    );
    await store.close();
  });

  it('are counted up to a bound when a store is opened', async () => {
    const level = await openMemoryLevel();
    const edits = Array.from({ length: 5000 }, (_, number) => ({
      type: 'put' as const,
      key: recordKey(number),
      value: Buffer.from('x'),
    }));
    await level.batch(edits, { sync: true });
    const store = await LevelStore.open({ kind: 'memory', place: '', open: async () => level });
    assert.equal((await store.stats()).records, 4096);
    await store.close();
  });
});
