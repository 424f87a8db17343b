/**
 * Access tokens: `est_<id>_<secret>`. The ID is public and finds the entry; the secret is 32 random
 * bytes, of which only the SHA-256 is kept. A slower hash is not needed: a secret of 256 bits
 * cannot be guessed, however fast guesses are checked (NIST SP 800-63B section 5.1.2).
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Length of the ID, in hexadecimal digits. */
const ID_DIGITS = 12;
const SECRET_BYTES = 32;
/** base64url of 32 bytes (RFC 4648 section 5), without padding. */
const TOKEN = new RegExp(`^est_([0-9a-f]{${ID_DIGITS}})_([A-Za-z0-9_-]{43})$`);
const ID = new RegExp(`^[0-9a-f]{${ID_DIGITS}}$`);
/** The length of every token, in bytes. */
const TOKEN_BYTES = 'est_'.length + ID_DIGITS + 1 + 43;

export interface DrawnToken {
  readonly id: string;
  /** SHA-256 of the secret, 32 bytes. */
  readonly hash: Buffer;
  /** What its holder sends; stored nowhere. */
  readonly token: string;
}

export interface ParsedToken {
  readonly id: string;
  readonly hash: Buffer;
}

export function drawToken(): DrawnToken {
  const id = randomBytes(ID_DIGITS / 2).toString('hex');
  const secret = randomBytes(SECRET_BYTES);
  const token = `est_${id}_${secret.toString('base64url')}`;
  return { id, hash: hashOf(secret), token };
}

/** The ID of a token and the hash of its secret; undefined if it is malformed. */
export function parseToken(bytes: Buffer): ParsedToken | undefined {
  if (bytes.length !== TOKEN_BYTES) return undefined;
  const [, id, text] = TOKEN.exec(bytes.toString('latin1')) ?? [];
  if (id === undefined || text === undefined) return undefined;
  const secret = Buffer.from(text, 'base64url');
  // The last digit has spare bits, but each token has only one valid form.
  if (secret.toString('base64url') !== text) return undefined;
  return { id, hash: hashOf(secret) };
}

export function isTokenId(text: string): boolean {
  return ID.test(text);
}

/** In constant time. Both have 32 bytes. */
export function hashesAgree(a: Buffer, b: Buffer): boolean {
  return timingSafeEqual(a, b);
}

function hashOf(secret: Buffer): Buffer {
  return createHash('sha256').update(secret).digest();
}
