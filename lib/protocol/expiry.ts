/** The latest time at which a record can expire, in milliseconds since 1970: where Date ends. */
export const EXPIRY_MS_MAX = 8.64e15;

/** For people and JSON. A later time, which earlier builds stored, is shown as the latest. */
export function expiryText(expiryMs: number): string {
  return new Date(Math.min(expiryMs, EXPIRY_MS_MAX)).toISOString();
}
