/**
 * Reads the files of an audit log line by line, and knows which bytes are left over from a crash.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { fileError } from '../file-error.ts';
import { macIn, type ParsedLine, parseLine } from './chain.ts';

/** A line and its place. */
export interface PlacedLine {
  readonly path: string;
  /** From 1. */
  readonly lineNumber: number;
  /** Undefined if it is not a line of an audit log. */
  readonly parsed: ParsedLine | undefined;
  /** The MAC at its end, even if it is not a valid line. */
  readonly mac: Buffer | undefined;
  /** Whether its line feed is there. */
  readonly isWhole: boolean;
  /** Whether it belongs to the bytes that a later line reports as torn. */
  readonly isTorn: boolean;
}

interface RawLine {
  readonly bytes: Buffer;
  readonly offset: number;
  readonly isWhole: boolean;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

const LINE_FEED = 0x0a;
/** Far longer than any line; longer input comes in pieces, none of which is a valid line. */
const LINE_BYTES_MAX = 1024 * 1024;
const RECOVERY = Buffer.from('"op":"audit-recover"');

/** Every line of the files, in order. Rejects with `FILE_ERROR`. */
export async function* readLines(paths: readonly string[]): AsyncGenerator<PlacedLine> {
  for (const path of paths) {
    const torn = await tornRanges(path);
    let lineNumber = 0;
    for await (const { bytes, offset, isWhole } of rawLines(path)) {
      lineNumber++;
      const isTorn = torn.some(({ from, to }) => offset >= from && offset < to);
      yield { path, lineNumber, parsed: parseLine(bytes), mac: macIn(bytes), isWhole, isTorn };
    }
  }
}

/** The torn ranges that recovery lines report, where the bytes match the reported hash. */
async function tornRanges(path: string): Promise<Range[]> {
  const claims: { readonly range: Range; readonly sha256: unknown }[] = [];
  for await (const { bytes, offset } of rawLines(path)) {
    if (!bytes.includes(RECOVERY)) continue;
    const torn = parseLine(bytes)?.fields['torn'];
    const { bytes: length, sha256 } = { ...(torn as { bytes?: unknown; sha256?: unknown }) };
    if (typeof length !== 'number' || !Number.isInteger(length)) continue;
    if (length <= 0 || length > offset) continue;
    claims.push({ range: { from: offset - length, to: offset }, sha256 });
  }
  const ranges: Range[] = [];
  for (const { range, sha256 } of claims) {
    if ((await hashOf(path, range)) === sha256) ranges.push(range);
  }
  return ranges;
}

async function hashOf(path: string, { from, to }: Range): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { start: from, end: to - 1 })) {
    hash.update(chunk);
  }
  return hash.digest('hex');
}

async function* rawLines(path: string): AsyncGenerator<RawLine> {
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0;
  const take = (length: number, skip: number, isWhole: boolean): RawLine => {
    const line = { bytes: rest.subarray(0, length), offset, isWhole };
    rest = rest.subarray(length + skip);
    offset += length + skip;
    return line;
  };
  try {
    for await (const chunk of createReadStream(path)) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
        yield take(end, 1, true);
      }
      if (rest.length > LINE_BYTES_MAX) yield take(rest.length, 0, true);
    }
  } catch (thrown) {
    throw fileError('cannot read the audit log', path, thrown);
  }
  if (rest.length > 0) yield take(rest.length, 0, false);
}
