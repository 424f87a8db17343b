/** A LevelDB of which some blocks are damaged: who asks for something else does not notice. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { LevelStore } from '../../lib/store/level.ts';
import { lastBeforeDamage } from '../../lib/store/level-damage.ts';
import {
  isDamage,
  type LevelDatabase,
  type LevelRange,
  openClassicLevel,
  writeSynced,
} from '../../lib/store/level-database.ts';
import { IF_ABSENT, TABLE } from '../../lib/store/store.ts';
import { damageBlocks, largestTable } from '../helpers/level-table.ts';
import { outcomesOf, recordKey, rejectsWith, value } from '../helpers/store-values.ts';

/** The first 4096 are counted when a store is opened, which fails if one of them is damaged. */
const RECORDS = 4_500;
const BAD = 4_300;
const PAGE_ITEMS = 320;
/** These bodies lie apart. */
const LARGE = [4_400, 4_450];
const LARGE_BYTES = 10_000;

let folder: string;
let store: LevelStore;

const openStore = () =>
  LevelStore.open({ kind: 'level', place: folder, open: () => openClassicLevel(folder) });

const recordOf = (number: number) => {
  const body = LARGE.includes(number) ? `${number} `.repeat(LARGE_BYTES / 5) : 'small';
  return value(body, 0, `head ${number}.`);
};

/** Flips a bit in each block that has this. */
async function damage(mark: string): Promise<void> {
  await store.close();
  damageBlocks(folder, Buffer.from(mark));
  store = await openStore();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-'));
  store = await openStore();
  const numbers = Array.from({ length: RECORDS }, (_, number) => number);
  await Promise.all(numbers.map((number) => store.put(recordKey(number), recordOf(number))));
  // What is in the log becomes a table.
  await store.close();
  store = await openStore();
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

describe('a damaged block', () => {
  it('fails the reads alone that ask for what is in it', async () => {
    await damage(`head ${BAD}.`);
    const numbers = Array.from({ length: 500 }, (_, index) => 4_000 + index);
    const outcomes = await outcomesOf(numbers.map((number) => store.get(recordKey(number))));
    const failed = numbers.filter((_number, index) => outcomes[index] !== 'done');
    assert.ok(failed.includes(BAD) && failed.length < 100, `${failed}`);
    assert.ok(outcomes.every((outcome) => ['done', 'STORE_DAMAGED'].includes(outcome)));
    const found = await store.getMany([recordKey(0), recordKey(RECORDS - 1)]);
    assert.deepEqual(
      found.map((one) => `${one?.head}`),
      ['head 0.', `head ${RECORDS - 1}.`],
    );
  });

  it('fails the writes alone that look into it', async () => {
    await damage(`head ${BAD}.`);
    const puts = [1, BAD, 9_999].map((number) => store.put(recordKey(number), value('new')));
    assert.deepEqual(await outcomesOf(puts), ['done', 'STORE_DAMAGED', 'done']);
    for (const number of [1, 9_999]) {
      assert.equal(`${(await store.get(recordKey(number)))?.body}`, 'new');
    }
  });

  it('with a body in it fails the reads of that body alone', async () => {
    const [bad = 0, good = 0] = LARGE;
    await damage(`${bad} `.repeat(1_000));
    const reads = [bad, good, 1].map((number) => store.get(recordKey(number)));
    assert.deepEqual(await outcomesOf(reads), ['STORE_DAMAGED', 'done', 'done']);
    assert.equal((await store.head(recordKey(bad)))?.bodyBytes, LARGE_BYTES);
  });
});

describe('an error of damage', () => {
  const named = async (work: Promise<unknown>) => {
    const thrown: unknown = await work.catch((error: unknown) => error);
    assert.ok(thrown instanceof EncServerError && thrown.code === 'STORE_DAMAGED');
    return thrown.message;
  };
  const page = (after: number) =>
    store.scan(Buffer.of(TABLE.RECORDS), recordKey(after), PAGE_ITEMS);

  it('names the store key whose block is damaged, or the last one before it', async () => {
    await damage(`head ${BAD}.`);
    const key = recordKey(BAD).toString('hex');
    const words = `the database is damaged at the store key ${key}`;
    assert.equal(await named(store.get(recordKey(BAD))), words);
    assert.equal(await named(store.put(recordKey(BAD), value('x'))), words);
    // A page that ends behind the damage, and one that is the last.
    for (const after of [4_000, 4_250]) {
      const [, hex = ''] = /behind the store key ([0-9a-f]+)$/.exec(await named(page(after))) ?? [];
      const last = Buffer.from(hex, 'hex');
      assert.equal((await store.get(last))?.body?.length, 'small'.length);
      // It may be the last but one before the damage.
      const number = last.readUInt32BE(2);
      assert.ok(number < BAD);
      await rejectsWith(store.get(recordKey(number + 2)), 'STORE_DAMAGED');
    }
    assert.equal((await page(3_900)).items.length, PAGE_ITEMS);
  });

  it('is found without reading far behind it', async () => {
    await store.close();
    damageBlocks(folder, Buffer.from('head 1000.'));
    const level = await openClassicLevel(folder);
    let looks = 0;
    const counting = {
      keys: (range: LevelRange) => {
        const iterator = level.keys(range);
        const nextv = (size: number) => {
          looks++;
          return iterator.nextv(size);
        };
        return { nextv, close: () => iterator.close() };
      },
    } as LevelDatabase;
    const range = { gte: Buffer.of(TABLE.RECORDS), lt: Buffer.of(TABLE.RECORDS + 1) };
    const number = (await lastBeforeDamage(counting, range))?.readUInt32BE(2) ?? 0;
    assert.ok(number > 800 && number < 1_000, `${number}`);
    assert.ok(looks < 2_100, `${looks}`);
    await level.close();
  });

  it('names the store key of a damaged value', async () => {
    await store.close();
    const level = await openClassicLevel(folder);
    const edits = [{ type: 'put', key: recordKey(BAD), value: Buffer.from('no value') }] as const;
    await writeSynced(level, [...edits]);
    await level.close();
    store = await openStore();
    const words = `the value under the store key ${recordKey(BAD).toString('hex')} is damaged`;
    assert.equal(await named(store.get(recordKey(BAD))), words);
    assert.equal(await named(page(4_000)), words);
    assert.equal(await named(store.put(recordKey(BAD), value('x'), IF_ABSENT)), words);
  });
});

describe('files that are not as they were written', () => {
  const damages: [what: string, change: () => Promise<void>, words: RegExp][] = [
    ['a table cut short', () => truncate(largestTable(folder), 20), /\d+\.ldb: Invalid argument/],
    ['a table gone', () => rm(largestTable(folder)), /missing files.*\d+\.ldb/],
    [
      'a MANIFEST gone',
      async () => {
        const names = await readdir(folder);
        const [name] = names.filter((one) => one.startsWith('MANIFEST'));
        await rm(join(folder, String(name)));
      },
      /MANIFEST-\d+: No such file/,
    ],
    ['a wrong CURRENT', () => writeFile(join(folder, 'CURRENT'), 'CANIFEST-1\n'), /CANIFEST-1: No/],
  ];
  for (const [what, change, words] of damages) {
    it(`are damage at a start: ${what}`, async () => {
      await store.close();
      await change();
      const thrown: unknown = await openStore().catch((error: unknown) => error);
      assert.ok(thrown instanceof EncServerError);
      assert.equal(thrown.code, 'STORE_DAMAGED');
      assert.match(thrown.message, words);
      // For the end of the test.
      await rm(folder, { recursive: true });
      store = await openStore();
    });
  }

  it('are told from what a disk or a system refuses', () => {
    const inFile = (file: string, words: string) =>
      isDamage(
        Object.assign(new Error(`IO error: /var/be/db/${file}: ${words}`), {
          code: 'LEVEL_IO_ERROR',
        }),
      );
    assert.ok(inFile('000005.ldb', 'Invalid argument'));
    assert.ok(inFile('000005.ldb', 'No such file or directory'));
    for (const words of [
      'Input/output error',
      'No space left on device',
      'Too many open files',
      'Read-only file system',
      'Permission denied',
      'Cannot allocate memory',
    ]) {
      assert.ok(!inFile('000005.ldb', words), words);
      assert.ok(!inFile('MANIFEST-000004', words), words);
    }
    assert.ok(!inFile('000006.log', 'Invalid argument'));
    assert.ok(!inFile('LOCK', 'No such file or directory'));
  });
});

it('a folder that is gone is not begun anew where a database was open', async () => {
  const gone = join(folder, 'gone');
  for (const _times of [1, 2]) await rejectsWith(openClassicLevel(gone, false), 'FILE_ERROR');
});
