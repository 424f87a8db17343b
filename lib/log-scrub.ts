/**
 * What may reach a line of the log. Code that logs is expected to log nothing secret; this is the
 * second line of defence, and it is strict: it would rather log too little.
 */

import { EncServerError } from './errors.ts';

/** Fields that hold a secret or a user's data, whatever their values look like. */
const HIDDEN = new Set(
  [
    'id',
    'userId',
    'key',
    'recordKey',
    'record',
    'body',
    'token',
    'secret',
    'password',
    'mongoURI',
  ].map((name) => name.toLowerCase()),
);

const DEPTH_MAX = 4;
const ITEMS_MAX = 32;
const CAUSES_MAX = 8;

/** The fields of a line: bytes as their length, errors without foreign messages, no secrets. */
export function scrubFields(fields: object): Record<string, unknown> {
  return scrubObject(fields, 0);
}

/** Any value, scrubbed as by {@link scrubFields}. */
export function scrub(value: unknown): unknown {
  return scrubValue(value, 0);
}

/**
 * The message of an error if it may be logged. Our own never hold secrets, and the system's name a
 * call and a path or an address. Any other may quote its input, as JSON.parse does, so only its
 * name and code are logged.
 */
export function messageOf(error: Error): string {
  if (error instanceof EncServerError || isSystemError(error)) return error.message;
  return [nameOf(error), codeOf(error)].filter((part) => part !== undefined).join(' ');
}

function scrubValue(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return `[${value.byteLength} bytes]`;
  if (value instanceof Error) return describeError(value, 0);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (depth >= DEPTH_MAX) return '[deeper]';
  if (!Array.isArray(value)) return scrubObject(value, depth + 1);
  return value.slice(0, ITEMS_MAX).map((item) => scrubValue(item, depth + 1));
}

function scrubObject(fields: object, depth: number): Record<string, unknown> {
  const scrubbed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    scrubbed[name] = HIDDEN.has(name.toLowerCase()) ? '[hidden]' : scrubValue(value, depth);
  }
  return scrubbed;
}

/** An error with its causes, but without its other properties, which may hold a request. */
function describeError(error: Error, depth: number): Record<string, unknown> {
  const described: Record<string, unknown> = { name: nameOf(error) };
  const code = codeOf(error);
  if (code !== undefined) described['code'] = code;
  described['message'] = messageOf(error);
  described['stack'] = framesOf(error);
  if (depth >= CAUSES_MAX) return described;
  if (error.cause instanceof Error) described['cause'] = describeError(error.cause, depth + 1);
  if (error instanceof AggregateError) {
    described['errors'] = error.errors
      .filter((inner) => inner instanceof Error)
      .slice(0, CAUSES_MAX)
      .map((inner) => describeError(inner, depth + 1));
  }
  return described;
}

function isSystemError(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return typeof code === 'string' && typeof syscall === 'string';
}

/** Names and codes must be identifiers; anything else in their place is not logged. */
function nameOf(error: Error): string {
  return isIdentifier(error.name) ? error.name : 'Error';
}

function codeOf(error: Error): string | number | undefined {
  const code: unknown = (error as { code?: unknown }).code;
  return typeof code === 'number' || isIdentifier(code) ? code : undefined;
}

function isIdentifier(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z]\w{0,39}$/.test(value);
}

/** Where it happened, without the message at the head of a stack. */
function framesOf(error: Error): string[] {
  const stack = typeof error.stack === 'string' ? error.stack : '';
  const message = stack.indexOf(error.message);
  const frames = message < 0 ? stack : stack.slice(message + error.message.length);
  return frames
    .split('\n')
    .filter((line) => /^ {4}at .{1,300}(?::\d+:\d+\)?|\))$/.test(line))
    .map((line) => line.trim());
}
