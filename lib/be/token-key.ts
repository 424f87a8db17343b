import { EncServerError } from '../errors.ts';
import { bufferOf } from '../protocol/bytes.ts';
import { FOREIGN_TOKEN_BYTES_MAX } from '../protocol/limits.ts';
import { TABLE } from '../store/store.ts';

/** Store key of a foreign front end's token of 1 to 4096 bytes. Throws `INVALID_ID`. */
export function tokenKey(token: string | Uint8Array): Buffer {
  const bytes = bufferOf(token, 'INVALID_ID');
  if (bytes.length === 0 || bytes.length > FOREIGN_TOKEN_BYTES_MAX) {
    const hint = `a token has 1 to ${FOREIGN_TOKEN_BYTES_MAX} bytes`;
    throw new EncServerError('INVALID_ID', `a token of ${bytes.length} bytes`, { hint });
  }
  return Buffer.concat([Buffer.from([TABLE.FOREIGN]), bytes]);
}
