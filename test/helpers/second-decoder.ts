/**
 * A second reader of the stored format, written from `docs/ENVELOPE.md` alone. It imports nothing
 * of the program, so that what it opens is what the document says, and not what `lib/crypto`
 * happens to do. Its AES-SIV is @noble/ciphers', where the program has its own.
 */
import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { aessiv } from '@noble/ciphers/aes.js';

/** What is refused, with the code that the document gives. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: string;

  constructor(code: string, why: string) {
    super(why);
    this.code = code;
  }
}

/** Under which name a record is stored. Both are bytes. */
export interface Name {
  readonly namespace: Buffer;
  readonly id: Buffer;
}

/** An entry of a keyring: its number, 1 to 65,535, and its secret of 32 bytes. */
export interface Entry {
  readonly number: number;
  readonly secret: Buffer;
}

export interface Header {
  readonly flags: number;
  readonly expiryMs: number;
  readonly nonce: Buffer;
  readonly commitment: Buffer;
  readonly wrapped: { readonly number: number; readonly key: Buffer } | undefined;
}

export interface Metadata {
  readonly contentType?: string;
  readonly paddingBytes?: number;
}

export interface Opened {
  readonly flags: number;
  readonly expiryMs: number;
  /** As sealed, before it is read. */
  readonly metadataBytes: Buffer;
  readonly metadata: Metadata;
  readonly record: Buffer;
}

const FLAG_KEPT = 4;
const CONTEXT_HEADER_BYTES = 36;
const BUCKETS = [32, 64, 128, 256, 512, 1024, 2048];

// --- Notation and key derivation ---

function u8(value: number): Buffer {
  return Buffer.from([value]);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function altered(why: string): Refused {
  return new Refused('ALTERED', why);
}

function checkSecret(secret: Buffer): void {
  if (secret.length !== 32) throw new Refused('INVALID_KEY', 'a secret has 32 bytes');
}

/** Section "Notation": the one form of a name. */
function nameBytes({ namespace, id }: Name): Buffer {
  if (id.length < 1 || id.length > 1024) throw new Refused('INVALID_ID', 'length of the ID');
  if (namespace.length > 255) throw new Refused('INVALID_NAMESPACE', 'length of the namespace');
  return Buffer.concat([u8(namespace.length), namespace, u16(id.length), id]);
}

/** Section "Key derivation": 64 bytes. */
export function kdf(secret: Buffer, label: string, context: Buffer = Buffer.alloc(0)): Buffer {
  checkSecret(secret);
  const hmac = createHmac('sha512', secret).update(Buffer.from('00000001', 'hex'));
  hmac.update(label, 'ascii').update(u8(0)).update(context);
  return hmac.update(Buffer.from('00000200', 'hex')).digest();
}

/** RFC 5297. `sealed` is V and C; `ALTERED` where V does not fit. */
export function openSiv(key: Buffer, data: readonly Buffer[], sealed: Buffer): Buffer {
  try {
    return Buffer.from(aessiv(key, ...data).decrypt(sealed));
  } catch {
    throw altered('AES-SIV');
  }
}

// --- Envelope ---

/** Section "Header": 68 bytes, or 118 with flag 4. */
export function readHeader(bytes: Buffer): Header {
  const kept = bytes.length > 2 && (bytes.readUInt8(2) & FLAG_KEPT) !== 0;
  if (bytes.length !== (kept ? 118 : 68)) throw altered('length of the header');
  if (bytes.readUInt8(0) !== 1) throw altered('version');
  if (bytes.readUInt8(1) !== 1) throw altered('suite');
  const flags = bytes.readUInt8(2);
  if (flags > 15) throw altered('flags');
  if (bytes.readUInt8(3) !== 0) throw altered('reserved');
  const expiry = bytes.readBigUInt64BE(4);
  if (expiry > 2n ** 53n - 1n) throw altered('expiry');
  return {
    flags,
    expiryMs: Number(expiry),
    nonce: bytes.subarray(12, 36),
    commitment: bytes.subarray(36, 68),
    wrapped: kept ? { number: bytes.readUInt16BE(68), key: bytes.subarray(70) } : undefined,
  };
}

function contextOf(header: Buffer, name: Name): Buffer {
  return Buffer.concat([header.subarray(0, CONTEXT_HEADER_BYTES), nameBytes(name)]);
}

/** Section "Proof of key": the encryption key, or `WRONG_KEY`. */
export function proveKey(header: Buffer, name: Name, key: Buffer): Buffer {
  const { commitment } = readHeader(header);
  const okm = kdf(key, 'enc-server-ts record v1', contextOf(header, name));
  if (!timingSafeEqual(okm.subarray(32), commitment)) throw new Refused('WRONG_KEY', 'commitment');
  return okm.subarray(0, 32);
}

/** Section "Opening". */
export function openRecord(header: Buffer, body: Buffer, name: Name, key: Buffer): Opened {
  const { flags, expiryMs, nonce } = readHeader(header);
  const encryptionKey = proveKey(header, name, key);
  const plaintext = openGcm(encryptionKey, nonce.subarray(12), body, contextOf(header, name));
  if (plaintext.length < 2) throw altered('plaintext without a length');
  const recordAt = 2 + plaintext.readUInt16BE(0);
  if (plaintext.length < recordAt) throw altered('length of the metadata');
  const metadataBytes = plaintext.subarray(2, recordAt);
  const metadata = readMetadata(metadataBytes);
  return { flags, expiryMs, metadataBytes, metadata, record: plaintext.subarray(recordAt) };
}

function openGcm(key: Buffer, nonce: Buffer, body: Buffer, data: Buffer): Buffer {
  if (body.length < 16) throw altered('body without a tag');
  const tagAt = body.length - 16;
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
  decipher.setAAD(data).setAuthTag(body.subarray(tagAt));
  const plaintext = decipher.update(body.subarray(0, tagAt));
  try {
    return Buffer.concat([plaintext, decipher.final()]);
  } catch {
    throw altered('tag of the body');
  }
}

/** Section "Kept keys": the record key in a header, under the entries that wrap. */
export function unwrapKey(header: Buffer, name: Name, entries: readonly Entry[]): Buffer {
  const { wrapped } = readHeader(header);
  if (wrapped === undefined) throw altered('no key is kept');
  const entry = entries.find(({ number }) => number === wrapped.number);
  if (entry === undefined) throw altered('no such wrap entry');
  const context = contextOf(header, name);
  const sivKey = kdf(entry.secret, 'enc-server-ts wrap-siv v1');
  const label = Buffer.from('enc-server-ts wrap v1', 'ascii');
  return openSiv(sivKey, [Buffer.concat([label, u16(entry.number), context])], wrapped.key);
}

// --- Metadata ---

/** Section "Metadata". */
export function readMetadata(bytes: Buffer): Metadata {
  const facts: { contentType?: string; paddingBytes?: number } = {};
  let last = 0;
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 3) throw altered('item of metadata cut');
    const type = bytes.readUInt8(at);
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    if (end > bytes.length) throw altered('value of metadata cut');
    if (type <= last) throw altered('order of metadata');
    if (type >= 128) throw altered('metadata that must be understood');
    const value = bytes.subarray(at + 3, end);
    if (type === 1) facts.contentType = readContentType(value);
    if (type === 2) facts.paddingBytes = readPadding(value);
    last = type;
    at = end;
  }
  return facts;
}

function readContentType(value: Buffer): string {
  if (value.length < 1 || value.length > 255) throw altered('length of the content type');
  const text = readUtf8(value);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (text === undefined || /[\u0000-\u001f\u007f-\u009f]/.test(text)) {
    throw altered('content type');
  }
  return text;
}

function readPadding(value: Buffer): number {
  if (value.some((byte) => byte !== 0)) throw altered('padding');
  return value.length;
}

/** With its byte order mark, if any; undefined where it is no UTF-8. */
export function readUtf8(bytes: Buffer): string | undefined {
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? text : undefined;
}

// --- Pseudonyms and heads ---

function prefixOf(entry: Entry, namespace: Buffer): Buffer {
  const tagKey = kdf(entry.secret, 'enc-server-ts ns-tag v1').subarray(0, 32);
  const tag = createHmac('sha256', tagKey).update(namespace).digest().subarray(0, 8);
  return Buffer.concat([u8(1), u16(entry.number), tag]);
}

/** Section "Pseudonyms": where the record of a name is stored. */
export function findPseudonym(name: Name, entry: Entry): { storeKey: Buffer; sealedId: Buffer } {
  const bytes = nameBytes(name);
  const bucket = BUCKETS.find((size) => size >= bytes.length) ?? 0;
  const padded = Buffer.concat([bytes, Buffer.alloc(bucket - bytes.length)]);
  const prefix = prefixOf(entry, name.namespace);
  const sealed = aessiv(kdf(entry.secret, 'enc-server-ts id-siv v1'), prefix).encrypt(padded);
  const storeKey = Buffer.concat([prefix, sealed.subarray(0, 16)]);
  return { storeKey, sealedId: Buffer.from(sealed.subarray(16)) };
}

/** The same section: the name that a store key and a sealed ID stand for. */
export function readPseudonym(storeKey: Buffer, sealedId: Buffer, entry: Entry): Name {
  if (storeKey.length !== 27) throw altered('length of the store key');
  if (!BUCKETS.includes(sealedId.length)) throw altered('length of the sealed ID');
  const prefix = storeKey.subarray(0, 11);
  const sivKey = kdf(entry.secret, 'enc-server-ts id-siv v1');
  const padded = openSiv(sivKey, [prefix], Buffer.concat([storeKey.subarray(11), sealedId]));
  const namespaceEnd = 1 + padded.readUInt8(0);
  if (namespaceEnd + 2 > padded.length) throw altered('length of the namespace');
  const idAt = namespaceEnd + 2;
  const end = idAt + padded.readUInt16BE(namespaceEnd);
  if (end === idAt || end - idAt > 1024 || end > padded.length) throw altered('length of the ID');
  if (BUCKETS.find((size) => size >= end) !== padded.length) throw altered('bucket');
  if (padded.subarray(end).some((byte) => byte !== 0)) throw altered('padding of the name');
  const name = { namespace: padded.subarray(1, namespaceEnd), id: padded.subarray(idAt, end) };
  if (!prefixOf(entry, name.namespace).equals(prefix)) throw altered('prefix');
  return name;
}

/** Section "Head". */
export function splitHead(head: Buffer): {
  sealedId: Buffer;
  header: Buffer;
  claim: { atMs: number; reader: Buffer } | undefined;
} {
  const end = head.length < 2 ? 0 : 2 + head.readUInt16BE(0);
  if (!BUCKETS.includes(end - 2)) throw altered('length of the sealed ID');
  const rest = head.subarray(end);
  const headerBytes = { 68: 68, 118: 118, 108: 68, 158: 118 }[rest.length];
  if (headerBytes === undefined) throw altered('length of the head');
  const header = rest.subarray(0, headerBytes);
  const sealedId = head.subarray(2, end);
  if (rest.length === headerBytes) return { sealedId, header, claim: undefined };
  const time = rest.readBigUInt64BE(headerBytes);
  if (time > 2n ** 53n - 1n) throw altered('time of the claim');
  const reader = rest.subarray(headerBytes + 8);
  return { sealedId, header, claim: { atMs: Number(time), reader } };
}
