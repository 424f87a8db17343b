/** Separate from `load.ts`, so that a server that was handed its configuration loads no schema. */
import { type Limits, limitsFor } from '../protocol/limits.ts';
import type { ServerSection } from './load.ts';

/** The limits of a server. Those of frames and lines follow from the longest record. */
export function limitsOf(section: ServerSection): Limits {
  return {
    ...limitsFor(section.recordBytesMax),
    requestsPerConnectionMax: section.requestsPerConnectionMax,
    requestsMax: section.requestsMax,
    bytesInFlightMax: section.bytesInFlightMax,
    firstByteTimeoutMs: section.firstByteTimeoutMs,
    receiveTimeoutMs: section.receiveTimeoutMs,
    idleTimeoutMs: section.idleTimeoutMs,
    sendTimeoutMs: section.sendTimeoutMs,
    requestTimeoutMs: section.requestTimeoutMs,
  };
}
