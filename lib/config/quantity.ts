/**
 * Sizes and durations as people write them in configuration: `8MiB`, `64 KiB`, `500ms`, `10m`.
 * A plain number is in the unit that the setting's name ends in: bytes or milliseconds.
 */

type Units = Readonly<Record<string, number>>;

/**
 * In bytes. Powers of 1024 only: `MB` means different things to different people, so it is refused.
 */
const SIZE_UNITS: Units = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** In milliseconds. */
const DURATION_UNITS: Units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const QUANTITY = /^(\d{1,16}) ?([A-Za-z]{0,3})$/;

/** A size in bytes from a number or text; undefined if it is not a whole, safe number of them. */
export function parseSizeBytes(raw: unknown): number | undefined {
  return parseQuantity(raw, SIZE_UNITS);
}

/** A duration in milliseconds from a number or text; undefined as in {@link parseSizeBytes}. */
export function parseDurationMs(raw: unknown): number | undefined {
  return parseQuantity(raw, DURATION_UNITS);
}

/** A whole number, 0 or more, from a number or its digits; undefined if it is not one. */
export function parseWhole(raw: unknown): number | undefined {
  return parseQuantity(raw, {});
}

/** Bytes in the largest unit that divides them, the inverse of {@link parseSizeBytes}. */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, SIZE_UNITS);
}

/** Milliseconds in the largest unit that divides them, the inverse of {@link parseDurationMs}. */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, DURATION_UNITS);
}

function parseQuantity(raw: unknown, units: Units): number | undefined {
  if (typeof raw === 'number') return whole(raw);
  if (typeof raw !== 'string') return undefined;
  const match = QUANTITY.exec(raw.trim());
  if (match === null) return undefined;
  const unit = match[2] ?? '';
  const factor = unit === '' ? 1 : Object.hasOwn(units, unit) ? units[unit] : undefined;
  return factor === undefined ? undefined : whole(Number(match[1]) * factor);
}

function whole(value: number): number | undefined {
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function formatQuantity(value: number, units: Units): string {
  const [unit, factor] = Object.entries(units).findLast(([, size]) => value % size === 0) ?? [
    '',
    1,
  ];
  return value === 0 ? `0 ${Object.keys(units)[0]}` : `${value / factor} ${unit}`;
}
