/** Reads stored values without holding more of them than there is room for. */
import { EncServerError } from '../errors.ts';
import type { Budget } from '../net/budget.ts';
import type { RequestContext } from '../net/request.ts';
import { SMALL_LANE_BYTES_MAX } from '../protocol/limits.ts';
import type { Store, StoredValue } from '../store/store.ts';

/**
 * A value may be replaced by something larger in between; it is then read again, at most this
 * often.
 */
const LARGE_TRIES_MAX = 5;

/**
 * A large body is read only when there is room for its own size, however much is accepted. Rejects
 * with `NOT_FOUND`, `LARGE` if the body is above `acceptBytes`, `OVERLOADED`.
 */
export async function readWithRoom(
  source: Pick<Store, 'get'>,
  key: Buffer,
  acceptBytes: number,
  budget: Budget,
  context: RequestContext,
): Promise<StoredValue> {
  let found = await source.get(key, Math.min(acceptBytes, SMALL_LANE_BYTES_MAX));
  if (found === undefined) throw notFound();
  for (let tries = 1; found.body === undefined && tries <= LARGE_TRIES_MAX; tries++) {
    const { bodyBytes } = found;
    if (bodyBytes > acceptBytes) break;
    await budget.reserved(bodyBytes, context);
    try {
      const again = await source.get(key, bodyBytes);
      if (again === undefined) throw notFound();
      found = again;
    } finally {
      budget.release(bodyBytes);
    }
  }
  if (found.body !== undefined) return found;
  const sizeBytes = found.bodyBytes;
  throw new EncServerError('LARGE', `the body has ${sizeBytes} bytes`, { sizeBytes });
}

export function notFound(): EncServerError {
  return new EncServerError('NOT_FOUND', 'nothing is stored there');
}
