/**
 * Links that hold everything: version, key, ID and a checksum, after the `#`, which a browser never
 * sends. The checksum detects a truncated or mistyped link before any request.
 *
 * 1 ‖ key of 32 bytes ‖ ID ‖ CRC-32 of all before it (IEEE 802.3), in base64url (RFC 4648).
 */
const VERSION = 1;
const KEY_BYTES = 32;
const ID_AT = 1 + KEY_BYTES;
const CHECKSUM_BYTES = 4;

/** @param {Uint8Array} key 32 bytes @param {string} id @returns {string} what follows the # */
export function encodeLink(key, id) {
  const name = new TextEncoder().encode(id);
  const bytes = new Uint8Array(ID_AT + name.length + CHECKSUM_BYTES);
  bytes[0] = VERSION;
  bytes.set(key, 1);
  bytes.set(name, ID_AT);
  const end = ID_AT + name.length;
  new DataView(bytes.buffer).setUint32(end, crc32(bytes.subarray(0, end)));
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** @returns {{ key: Uint8Array, id: string } | undefined} undefined if it is not a complete link */
export function decodeLink(text) {
  let bytes;
  try {
    const base64 = text.replaceAll('-', '+').replaceAll('_', '/');
    bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
  const end = bytes.length - CHECKSUM_BYTES;
  if (end <= ID_AT || bytes[0] !== VERSION) return undefined;
  if (new DataView(bytes.buffer).getUint32(end) !== crc32(bytes.subarray(0, end))) return undefined;
  // Of an ID that begins with U+FEFF, that is a part.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  return { key: bytes.slice(1, ID_AT), id: utf8.decode(bytes.subarray(ID_AT, end)) };
}

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export function drawKey() {
  return crypto.getRandomValues(new Uint8Array(KEY_BYTES));
}

export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
