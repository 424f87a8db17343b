/** All bounds of the protocols, in one place. Options of the same names override the defaults. */

/** Longest user ID, in bytes. */
export const ID_BYTES_MAX = 1024;
/** Longest namespace, in bytes. */
export const NAMESPACE_BYTES_MAX = 255;
/** A record key, in bytes. */
export const KEY_BYTES = 32;
/** Lengths of keys from the family's servers, which open what was moved from there. */
export const OLD_KEY_BYTES: readonly number[] = [16, 24, 32];
/** Longest token of a foreign front end in the back end's text lines, in bytes. */
export const FOREIGN_TOKEN_BYTES_MAX = 4096;
/** Longest head of a stored value, in bytes. */
export const HEAD_BYTES_MAX = 4096;
/** What a frame may hold besides the record itself: header, fields, sealing. In bytes. */
export const FRAME_OVERHEAD_BYTES = 64 * 1024;
/** Every frame's length is below this, so that its first byte is always 0. */
export const FRAME_BYTES_CEILING = 16 * 1024 * 1024;
/** Longest frame after its length that the format allows, in bytes. */
export const FRAME_BYTES_MAX = FRAME_BYTES_CEILING - 1;
/** The longest small request, in bytes: its frame after its length, its line or its body. */
export const SMALL_REQUEST_BYTES_MAX = 64 * 1024;
/** A record above this is read over the bulk lane between front end and back end, in bytes. */
export const SMALL_LANE_BYTES_MAX = 64 * 1024;
/** Items of one batch. */
export const BATCH_ITEMS_MAX = 1_000;
/** IDs of one page of a list where no number is asked for. */
export const LIST_IDS = 1_000;
/** The most IDs of one page of a list. */
export const LIST_IDS_MAX = 10_000;
/** Longest first line to wait for, in order to tell text from HTTP, in bytes. */
export const DETECT_BYTES_MAX = 4096;

/** The limits that can be configured for a listener. */
export interface Limits {
  /** Longest record, in bytes. */
  readonly recordBytesMax: number;
  /** Longest frame after its length, in bytes. */
  readonly frameBytesMax: number;
  /** Longest text line, in bytes. */
  readonly lineBytesMax: number;
  /** Requests of one connection under way at once; more are not read until one is answered. */
  readonly requestsPerConnectionMax: number;
  /** Requests of all connections under way at once; more are refused. */
  readonly requestsMax: number;
  /** Bytes of requests and replies held by the whole process. */
  readonly bytesInFlightMax: number;
  /** Time for the first bytes that tell the dialect, in milliseconds. */
  readonly firstByteTimeoutMs: number;
  /** Time for a frame or line to arrive completely once it has begun, in milliseconds. */
  readonly receiveTimeoutMs: number;
  /** Time a connection may be silent with nothing under way, in milliseconds. */
  readonly idleTimeoutMs: number;
  /** Time for a reply to be taken by its receiver, in milliseconds. */
  readonly sendTimeoutMs: number;
  /** Time for a request that names no deadline, in milliseconds. */
  readonly requestTimeoutMs: number;
}

const MIB = 1024 * 1024;

/** The limits for a record maximum: 8 MiB by default. */
export function limitsFor(recordBytesMax: number = 8 * MIB): Limits {
  return {
    recordBytesMax,
    frameBytesMax: recordBytesMax + FRAME_OVERHEAD_BYTES,
    lineBytesMax: Math.ceil(recordBytesMax / 3) * 4 + FRAME_OVERHEAD_BYTES,
    requestsPerConnectionMax: 1024,
    requestsMax: 20_000,
    bytesInFlightMax: 128 * MIB,
    firstByteTimeoutMs: 10_000,
    receiveTimeoutMs: 30_000,
    idleTimeoutMs: 600_000,
    sendTimeoutMs: 30_000,
    requestTimeoutMs: 10_000,
  };
}

export const DEFAULT_LIMITS: Limits = limitsFor();
