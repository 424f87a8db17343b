/**
 * The header `traceparent` of W3C Trace Context (Level 1, section 3.2), in which a caller names the
 * trace that its request belongs to.
 */

/** The trace that a request belongs to. */
export interface TraceParent {
  /** trace-id, 16 bytes, not all 0. */
  readonly trace: Buffer;
  /** As the frames carry it in the field SPAN: parent-id, 8 bytes, not all 0; then the flags. */
  readonly span: Buffer;
}

/** Bytes of a span ID (parent-id). */
export const SPAN_ID_BYTES = 8;

/** version, trace-id, parent-id, flags; additions of a later version follow another `-`. */
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const LENGTH_MAX = 512;
const ZEROS = /^0+$/;
/** The only flag that Level 1 defines; the others are passed on as 0. */
const SAMPLED = 1;

/** Reads the header; undefined if it is invalid, which then counts as not sent. */
export function parseTraceparent(text: string): TraceParent | undefined {
  const match = text.length <= LENGTH_MAX ? FORM.exec(text) : null;
  if (match === null) return undefined;
  const [, version, trace = '', parent = '', flags = '', more] = match;
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (ZEROS.test(trace) || ZEROS.test(parent)) return undefined;
  const span = Buffer.alloc(SPAN_ID_BYTES + 1);
  span.write(parent, 'hex');
  span.writeUInt8(Number.parseInt(flags, 16) & SAMPLED, SPAN_ID_BYTES);
  return { trace: Buffer.from(trace, 'hex'), span };
}
