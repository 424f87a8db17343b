/** Logs of LevelDB that are damaged are refused; those that a crash cut are not. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { EncServerError } from '../../lib/errors.ts';
import { crc32c } from '../../lib/store/crc32c.ts';
import { openClassicLevel, writeSynced } from '../../lib/store/level-database.ts';
import { findDamage } from '../../lib/store/level-log.ts';
import { patternBytes, recordKey, rejectsWith } from '../helpers/store-values.ts';

/** Bodies of the writes: several in a block, and one that is cut into fragments. */
const BODY_BYTES = [100, 20_000, 1_000, 100_000, 10, 300, 9_000, 5_000, 1_000];
const BLOCK_BYTES = 32 * 1024;

let folder: string;
let log: string;
let whole: Buffer;
/** Where each write begins in the log; the last is its end. */
let starts: number[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'enc-server-ts-'));
  const level = await openClassicLevel(folder);
  const [name] = (await readdir(folder)).filter((one) => one.endsWith('.log'));
  log = join(folder, String(name));
  starts = [];
  for (const [number, bytes] of BODY_BYTES.entries()) {
    starts.push((await readFile(log)).length);
    const value = patternBytes(bytes, number);
    await writeSynced(level, [{ type: 'put', key: recordKey(number), value }]);
  }
  whole = await readFile(log);
  starts.push(whole.length);
  await level.close();
});
afterEach(() => rm(folder, { recursive: true }));

/** Opens the folder, and says which writes it has. */
async function written(): Promise<number[]> {
  const level = await openClassicLevel(folder);
  const found = await level.getMany(BODY_BYTES.map((_, number) => recordKey(number)));
  await level.close();
  return [...found.keys()].filter((number) => {
    const value = found[number];
    if (value !== undefined) assert.ok(value.equals(patternBytes(BODY_BYTES[number] ?? 0, number)));
    return value !== undefined;
  });
}

const firstWrites = (count: number) => Array.from({ length: count }, (_, number) => number);

function flipped(at: number): Buffer {
  const bytes = Buffer.from(whole);
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  return bytes;
}

describe('a damaged log', () => {
  it('is refused and left as it is, wherever a bit of an older write has flipped', async () => {
    for (const [number, start] of starts.slice(0, BODY_BYTES.length - 1).entries()) {
      // Checksum, length, type, number of the write, and bytes; also of the last fragment.
      const end = starts[number + 1] ?? 0;
      for (const at of [start, start + 4, start + 5, start + 6, start + 8, end - 5, end - 1]) {
        const bytes = flipped(at);
        await writeFile(log, bytes);
        await rejectsWith(openClassicLevel(folder), 'STORE_DAMAGED');
        assert.ok((await readFile(log)).equals(bytes));
      }
    }
  });

  it('is refused where a part of it was never written, or is lost', async () => {
    const [from = 0, to = 0] = starts.slice(2);
    await writeFile(log, Buffer.from(whole).fill(0, from, to));
    assert.equal(await findDamage(log), from);
    const block = Buffer.from(whole).fill(0, BLOCK_BYTES, 2 * BLOCK_BYTES);
    await writeFile(log, block);
    await rejectsWith(openClassicLevel(folder), 'STORE_DAMAGED');
  });

  it('opens once it is cut where the refusal says, with what is older', async () => {
    await writeFile(log, flipped((starts[5] ?? 0) + 20));
    const refusal = await openClassicLevel(folder).catch((thrown: unknown) => thrown);
    assert.ok(refusal instanceof EncServerError);
    const [, at, path] = /truncate -s (\d+) (\S+)$/.exec(refusal.hint) ?? [];
    assert.equal(Number(at), starts[5]);
    assert.equal(path, log);
    await truncate(log, Number(at));
    assert.deepEqual(await written(), firstWrites(5));
  });
});

describe('a log that a crash cut', () => {
  it('opens with what was whole, wherever it was cut, and however it was filled', async () => {
    const last = BODY_BYTES.length - 1;
    for (const start of starts.slice(0, last + 1)) {
      for (const cut of [start, start + 3, start + 9, start + 15]) {
        for (const tailBytes of [0, whole.length - cut, 200_000]) {
          await writeFile(log, Buffer.concat([whole.subarray(0, cut), Buffer.alloc(tailBytes)]));
          assert.equal(await findDamage(log), undefined, `cut at ${cut}, then ${tailBytes}`);
        }
      }
    }
    await writeFile(log, whole.subarray(0, (starts[last] ?? 0) + 50));
    assert.deepEqual(await written(), firstWrites(last));
  });

  it('opens where the last write is there in part only, its end before its beginning', async () => {
    // The fourth write alone is behind the hole: the disk had only some of its pages.
    const cut = whole.subarray(0, starts[4]);
    const holes = [starts[3] ?? 0, BLOCK_BYTES, 2 * BLOCK_BYTES];
    for (const hole of holes) {
      await writeFile(log, Buffer.from(cut).fill(0, hole, hole + 4096));
      assert.equal(await findDamage(log), undefined);
    }
    assert.deepEqual(await written(), firstWrites(3));
  });

  it('opens where an older file shows through behind the cut', async () => {
    const cut = starts[7] ?? 0;
    const older = whole.subarray(0, 3 * BLOCK_BYTES);
    const padding = Buffer.alloc(BLOCK_BYTES - (cut % BLOCK_BYTES));
    await writeFile(log, Buffer.concat([whole.subarray(0, cut), padding, older]));
    assert.equal(await findDamage(log), undefined);
  });
});

it('CRC-32C is that of RFC 3720, appendix B.4', () => {
  const vectors: [bytes: Buffer, crc: number][] = [
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, byte) => byte)), 0x46dd794e],
    [Buffer.from('123456789'), 0xe3069283],
  ];
  for (const [bytes, crc] of vectors) assert.equal(crc32c(bytes, 0, bytes.length), crc);
});
