/**
 * The body of a SCAN reply, item after item: u16 key length ‖ key ‖ revision (8) ‖ u64 expiry ‖
 * u32 body size ‖ u16 head length ‖ head. `docs/PROTOCOL.md`, "SCAN".
 */
import { EncServerError } from '../errors.ts';
import { REVISION_BYTES, type ScanItem, type ScanPage } from '../store/store.ts';

/** Keys and heads have up to 4 KiB each: without this bound, a page could outgrow every frame. */
const SCAN_PAGE_BYTES_MAX = 1024 * 1024;
const LENGTH_BYTES = 2;
const FACTS_BYTES = 14;

export function encodeScanItems(items: readonly ScanItem[]): Buffer {
  const parts: Buffer[] = [];
  for (const item of items) {
    const keyLength = Buffer.allocUnsafe(LENGTH_BYTES);
    keyLength.writeUInt16BE(item.key.length);
    const facts = Buffer.allocUnsafe(FACTS_BYTES);
    facts.writeBigUInt64BE(BigInt(item.expiryMs), 0);
    facts.writeUInt32BE(item.bodyBytes, 8);
    facts.writeUInt16BE(item.head.length, 12);
    parts.push(keyLength, item.key, item.revision, facts, item.head);
  }
  return Buffer.concat(parts);
}

/** Encoded size of an item, in bytes. */
function scanItemBytes(item: ScanItem): number {
  return LENGTH_BYTES + item.key.length + REVISION_BYTES + FACTS_BYTES + item.head.length;
}

/** @throws EncServerError `BAD_FRAME` if the bytes end inside an item */
export function decodeScanItems(body: Buffer): ScanItem[] {
  const items: ScanItem[] = [];
  try {
    for (let at = 0; at < body.length; ) at = decodeItem(body, at, items);
  } catch (cause) {
    throw new EncServerError('BAD_FRAME', 'the items of a scan are cut', { cause });
  }
  return items;
}

/** Returns the offset of the next item. Throws a RangeError if this one is cut short. */
function decodeItem(body: Buffer, at: number, items: ScanItem[]): number {
  const keyEnd = at + LENGTH_BYTES + body.readUInt16BE(at);
  const factsAt = keyEnd + REVISION_BYTES;
  const factsEnd = factsAt + FACTS_BYTES;
  const end = factsEnd + body.readUInt16BE(factsEnd - 2);
  if (end > body.length) throw new RangeError('the last head is cut');
  items.push({
    key: body.subarray(at + LENGTH_BYTES, keyEnd),
    revision: body.subarray(keyEnd, factsAt),
    expiryMs: Number(body.readBigUInt64BE(factsAt)),
    bodyBytes: body.readUInt32BE(factsAt + 8),
    head: body.subarray(factsEnd, end),
  });
  return end;
}

/** Keeps at least one item; the caller asks for the rest next. */
export function cutPage(page: ScanPage): ScanPage {
  let bytes = 0;
  const end = page.items.findIndex((item, index) => {
    bytes += scanItemBytes(item);
    return index > 0 && bytes > SCAN_PAGE_BYTES_MAX;
  });
  return end < 0 ? page : { items: page.items.slice(0, end), more: true };
}
