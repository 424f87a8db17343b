/**
 * The chain of an audit log: each line has a MAC over itself and the MAC before it, under a key
 * that is used for this one line and then replaced by its hash. Who takes the key of today cannot
 * change the lines of yesterday (Schneier and Kelsey, "Cryptographic Support for Secure Logs on
 * Untrusted Machines", 1998). `docs/AUDIT.md` specifies it to the byte.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { keyInput } from '../key-input.ts';

/** Size of keys and MACs. */
export const CHAIN_BYTES = 32;
/** Before the first line: no MAC. */
export const NO_MAC: Buffer = Buffer.alloc(CHAIN_BYTES);

const NEXT_KEY = Buffer.from('enc-server-ts audit key v1\0');
/** `,"mac":"`, 64 digits, `"}`. In bytes. */
const MAC_TAIL_BYTES = 74;
const MAC_TAIL = /^,"mac":"([0-9a-f]{64})"\}$/;
const BRACE = Buffer.from('}');

/** The position of a chain. */
export interface ChainState {
  /** Lines so far, which is also the number of the next one. */
  readonly count: number;
  /** The key of the next line, 32 bytes. */
  readonly key: Buffer;
  /** The MAC of the last line, 32 bytes. */
  readonly head: Buffer;
}

/** A line, taken apart; none of it is verified yet. */
export interface ParsedLine {
  /** The number that the line claims to have. */
  readonly number: number;
  readonly fields: Readonly<Record<string, unknown>>;
  /** What its MAC covers, apart from the previous MAC. */
  readonly text: Buffer;
  readonly mac: Buffer;
}

/** The key after this one, from which this one cannot be derived. */
export function nextKey(key: Buffer): Buffer {
  return createHash('sha256').update(NEXT_KEY).update(key).digest();
}

/** HMAC-SHA-256 (FIPS 198-1) over the previous MAC and the text of a line. 32 bytes. */
function macOf(key: Buffer, before: Buffer, text: Buffer | string): Buffer {
  return createHmac('sha256', keyInput(key)).update(before).update(text).digest();
}

/** The next line of a chain with its line feed, and the position of the chain after it. */
export function sealLine(
  { count, key, head }: ChainState,
  fields: object,
): { readonly line: string; readonly state: ChainState } {
  const text = JSON.stringify({ n: count, ...fields });
  const mac = macOf(key, head, text);
  const line = `${text.slice(0, -1)},"mac":"${mac.toString('hex')}"}\n`;
  return { line, state: { count: count + 1, key: nextKey(key), head: mac } };
}

/** The MAC at the end of a line, whatever precedes it; undefined if there is none. */
export function macIn(line: Buffer): Buffer | undefined {
  const tail = line.toString('latin1', Math.max(0, line.length - MAC_TAIL_BYTES));
  const [, digits] = MAC_TAIL.exec(tail) ?? [];
  return digits === undefined ? undefined : Buffer.from(digits, 'hex');
}

/** A line without its line feed; undefined if it is malformed. */
export function parseLine(line: Buffer): ParsedLine | undefined {
  const mac = macIn(line);
  if (mac === undefined) return undefined;
  const text = Buffer.concat([line.subarray(0, line.length - MAC_TAIL_BYTES), BRACE]);
  const fields = fieldsOf(text);
  const number = fields?.['n'];
  if (fields === undefined || !Number.isSafeInteger(number) || (number as number) < 0) return;
  return { number: number as number, fields, text, mac };
}

/** Whether a line is the one that follows `before`, under the key of its number. */
export function isNext({ text, mac }: ParsedLine, key: Buffer, before: Buffer): boolean {
  return timingSafeEqual(macOf(key, before, text), mac);
}

function fieldsOf(text: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text.toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
