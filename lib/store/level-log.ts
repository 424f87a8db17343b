/**
 * Looks at a log of LevelDB before LevelDB does (its `doc/log_format.md`). Where a record is
 * damaged, LevelDB goes on without it and without what follows it in its block, and then deletes
 * the log: acknowledged writes would be gone without a word. A crash leaves a bad record, too:
 * the write that was under way, which nobody was told of. But each write is on the disk before
 * the next is begun, so a bad record with a newer write behind it is damage.
 */
import { open } from 'node:fs/promises';
import { crc32c } from './crc32c.ts';

/** Records lie in blocks; one that is larger than its block is cut into fragments. */
const BLOCK_BYTES = 32 * 1024;
/** Masked CRC-32C of type and bytes (u32), length (u16), type (u8); little-endian. */
const HEADER_BYTES = 7;
const TYPE = { FULL: 1, FIRST: 2, LAST: 4 } as const;
const CRC_MASK = 0xa282ead8;
/** A write begins with its number, eight bytes; each write has a higher one than that before. */
const NUMBER_BYTES = 8;
const CHUNK_BYTES = 32 * BLOCK_BYTES;

/**
 * Where the first damaged record of a log begins, in bytes; undefined if it has none. Takes about
 * 0.2 s for the 64 MiB of a full log. Rejects as the file system does.
 */
export async function findDamage(path: string): Promise<number | undefined> {
  const file = await open(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const walk = new LogWalk();
    for (let chunkAt = 0; ; chunkAt += CHUNK_BYTES) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, chunkAt);
      for (let at = 0; at < bytesRead; at += BLOCK_BYTES) {
        const block = chunk.subarray(at, Math.min(at + BLOCK_BYTES, bytesRead));
        if (walk.isNewerBehindBad(block, chunkAt + at)) return walk.badAt;
      }
      if (bytesRead < CHUNK_BYTES) return undefined;
    }
  } finally {
    await file.close();
  }
}

/** One way through the blocks of a log. */
class LogWalk {
  /** Where the first bad record begins, in bytes. */
  badAt: number | undefined;
  #newest = -1;

  /** Whether a newer write than all before the first bad record begins here. */
  isNewerBehindBad(block: Buffer, blockAt: number): boolean {
    for (let at = 0; at + HEADER_BYTES <= block.length; ) {
      const end = endOfRecord(block, at);
      if (end === undefined) {
        this.badAt ??= blockAt + at;
        at = nextRecord(block, at);
        continue;
      }
      const number = numberOfWrite(block, at, end);
      // What a crash left of an older file, if anything, has lower numbers.
      if (number > this.#newest) {
        if (this.badAt !== undefined) return true;
        this.#newest = number;
      }
      at = end;
    }
    return false;
  }
}

/** Where the record ends that begins here; undefined where none does, or it is bad. */
function endOfRecord(block: Buffer, at: number): number | undefined {
  const end = at + HEADER_BYTES + block.readUInt16LE(at + 4);
  const type = block[at + 6] ?? 0;
  if (type < TYPE.FULL || type > TYPE.LAST || end > block.length) return undefined;
  const crc = crc32c(block, at + 6, end);
  const masked = (((crc >>> 15) | (crc << 17)) + CRC_MASK) >>> 0;
  return masked === block.readUInt32LE(at) ? end : undefined;
}

/** Where a record follows on a bad one, whose length may be wrong; else the end of the block. */
function nextRecord(block: Buffer, badAt: number): number {
  const isRecord = (at: number) =>
    at + HEADER_BYTES <= block.length && endOfRecord(block, at) !== undefined;
  const end = badAt + HEADER_BYTES + block.readUInt16LE(badAt + 4);
  if (isRecord(end)) return end;
  for (let at = badAt + 1; at + HEADER_BYTES <= block.length; at++) if (isRecord(at)) return at;
  return block.length;
}

/** The number of the write that begins here; -1 where a fragment continues one. */
function numberOfWrite(block: Buffer, at: number, end: number): number {
  const type = block[at + 6] ?? 0;
  const start = at + HEADER_BYTES;
  if (type > TYPE.FIRST || end - start < NUMBER_BYTES) return -1;
  return block.readUInt32LE(start) + block.readUInt32LE(start + 4) * 2 ** 32;
}
