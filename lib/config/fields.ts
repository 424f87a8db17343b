/**
 * The kinds of settings. Each is a zod type that takes what files, variables and flags give
 * (numbers and booleans may be strings) and carries the documentation of the setting.
 */

import { z } from 'zod';
import {
  formatDuration,
  formatSize,
  parseDurationMs,
  parseSizeBytes,
  parseWhole,
} from './quantity.ts';
import { ONE_LINE } from './text-file.ts';

/** The documentation of a setting. */
export interface KeyFacts {
  readonly about: string;
  /** What a value must be; an error says `expected` and this text, never the value. */
  readonly expects: string;
  /** The default, in words. */
  readonly fallback: string;
  /** Never shown; may come from a file named by a variable that ends in `_FILE`. */
  readonly secret?: true;
  /** An empty environment variable is a value of its own here; otherwise it counts as not set. */
  readonly emptyIsValue?: true;
}

/** Holds the facts of each setting, by its type. */
export const registry = z.registry<KeyFacts>();

/** setTimeout takes no more (2^31 - 1 ms) and fires at once when given more. */
const DURATION_MS_MAX = 24 * 86_400_000;

const HOST_AND_PORT = /^(?:\[[\w:.%]+\]|[^\s:[\]]+):(\d{1,5})$/;

function number(
  read: (raw: unknown) => number | undefined,
  format: (value: number) => string,
  kind: string,
) {
  return (min: number, max: number, fallback: number, about: string) =>
    z
      .preprocess(read, z.int().gte(min).lte(max))
      .default(fallback)
      .register(registry, {
        about,
        expects: `${kind} from ${format(min)} to ${format(max)}`,
        fallback: format(fallback),
      });
}

export const count = number(parseWhole, String, 'a whole number');
export const size = number(parseSizeBytes, formatSize, 'a number of bytes or a size such as 8MiB,');
const span = number(parseDurationMs, formatDuration, 'milliseconds or a time such as 10s,');

export function duration(fallbackMs: number, about: string) {
  return span(1, DURATION_MS_MAX, fallbackMs, about);
}

export function flag(fallback: boolean, about: string) {
  return z
    .preprocess(readFlag, z.boolean())
    .default(fallback)
    .register(registry, { about, expects: 'true or false', fallback: String(fallback) });
}

function readFlag(raw: unknown): unknown {
  const text = readWord(raw);
  if (typeof text !== 'string') return raw;
  const word = text.trim().toLowerCase();
  if (['true', 'yes', 'on', '1'].includes(word)) return true;
  return ['false', 'no', 'off', '0'].includes(word) ? false : raw;
}

/** YAML takes `1` and `1.2` for numbers. */
function readWord(raw: unknown): unknown {
  return typeof raw === 'number' ? String(raw) : raw;
}

export function choice<const Words extends readonly string[]>(
  words: Words,
  fallback: Words[number],
  about: string,
) {
  return z
    .preprocess(readWord, z.enum(words))
    .default(() => fallback as never)
    .register(registry, { about, expects: `one of ${words.join(', ')}`, fallback });
}

export function text(
  fallback: string,
  facts: Partial<KeyFacts> & { about: string },
  form = ONE_LINE,
) {
  return z
    .string()
    .regex(form)
    .default(fallback)
    .register(registry, { expects: 'text on one line', fallback: `"${fallback}"`, ...facts });
}

export function address(fallback: string, about: string) {
  const expects = 'host:port or [IPv6 address]:port';
  return z
    .string()
    .refine(hasPort, { error: `expected ${expects}` })
    .default(fallback)
    .register(registry, { about, expects, fallback });
}

function hasPort(value: string): boolean {
  const port = Number(HOST_AND_PORT.exec(value)?.[1]);
  return port >= 1 && port <= 65_535;
}
