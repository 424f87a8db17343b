/** LevelDB's tables (its `doc/table_format.md`), to be damaged. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FOOTER_BYTES = 48;

/** Flips a bit in each block of the folder's largest table that holds these bytes. */
export function damageBlocks(folder: string, mark: Buffer): void {
  const path = largestTable(folder);
  const table = readFileSync(path);
  let damaged = 0;
  for (const { at, bytes } of blocksOf(table)) {
    const block = table.subarray(at, at + bytes);
    if (!block.includes(mark)) continue;
    block[bytes - 1] = (block[bytes - 1] ?? 0) ^ 1;
    damaged++;
  }
  if (damaged === 0) throw new Error('no such block');
  writeFileSync(path, table);
}

export function largestTable(folder: string): string {
  const tables = readdirSync(folder).filter((name) => name.endsWith('.ldb'));
  const paths = tables.map((name) => join(folder, name));
  const [largest] = paths.sort((a, b) => readFileSync(b).length - readFileSync(a).length);
  if (largest === undefined) throw new Error('no table');
  return largest;
}

interface Block {
  readonly at: number;
  readonly bytes: number;
}

/** The blocks of data, from the index that the footer names. */
function blocksOf(table: Buffer): Block[] {
  // Place and size of the index of meta blocks, then of the index.
  const [, , indexAt = 0, indexBytes = 0] = varints(table, table.length - FOOTER_BYTES, 4).values;
  const index = table.subarray(indexAt, indexAt + indexBytes);
  const end = index.length - 4 - 4 * index.readUInt32LE(index.length - 4);
  const blocks: Block[] = [];
  for (let at = 0; at < end; ) {
    // Shared and own bytes of the key, bytes of the value.
    const { values, next } = varints(index, at, 3);
    const [, keyBytes = 0, valueBytes = 0] = values;
    const [blockAt = 0, bytes = 0] = varints(index, next + keyBytes, 2).values;
    blocks.push({ at: blockAt, bytes });
    at = next + keyBytes + valueBytes;
  }
  return blocks;
}

function varints(bytes: Buffer, start: number, count: number) {
  const values: number[] = [];
  let next = start;
  while (values.length < count) {
    let [value, scale] = [0, 1];
    for (; ; scale *= 128) {
      const byte = bytes[next++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    values.push(value);
  }
  return { values, next };
}
