/** The latest time at which a record can expire, in milliseconds since 1970: where Date ends. */
export const EXPIRY_MS_MAX = 8.64e15;

/** Of a record that is stored already; earlier builds took any. */
export function boundedExpiryMs(expiryMs: number): number {
  return Math.min(expiryMs, EXPIRY_MS_MAX);
}

/** For people and JSON. */
export function expiryText(expiryMs: number): string {
  return new Date(boundedExpiryMs(expiryMs)).toISOString();
}
