/** Bytes as percent-encoded text: RFC 3986 section 2.1. */

const PERCENT = 0x25;

/** The bytes of a percent-encoded text whose form has been checked (RFC 3986 section 2.1). */
export function decodePercent(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (!text.includes('%')) return bytes;
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === PERCENT) {
      bytes[length++] = Number.parseInt(text.slice(at + 1, at + 3), 16);
      at += 2;
    } else {
      bytes[length++] = byte;
    }
  }
  return bytes.subarray(0, length);
}

/** The reverse: visible ASCII except `%` as it is, and every other byte as two digits. */
export function encodePercent(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/[^!-$&-~]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
