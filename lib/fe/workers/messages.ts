/** What the processes of a front end with several workers say to one another. */
import type { Left, Taken } from '../../auth/joint-bounds.ts';
import type { Config } from '../../config/load.ts';
import type { Metric } from '../../metrics.ts';
import type { Failed } from '../../parent-process.ts';

/** What the parent says to a worker. */
export type ToWorker =
  /** Come up, and say `ready` before anything is served. `left` is of callers who have not all. */
  | { readonly kind: 'start'; readonly config: Config; readonly left: Left }
  /** All that serve are ready; connections come from this port. */
  | { readonly kind: 'port'; readonly port: number }
  /** With a socket, unless that has gone meanwhile. */
  | { readonly kind: 'connection'; readonly id: number }
  | { readonly kind: 'left'; readonly left: Left; readonly isAnswer: boolean }
  /** Say what you count. */
  | { readonly kind: 'count'; readonly id: number }
  /** What all count, to the worker that asked. */
  | { readonly kind: 'counted'; readonly id: number; readonly metrics: readonly Metric[] }
  | { readonly kind: 'stop' };

/** What a worker says to the parent. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'listening'; readonly line: string }
  | Failed
  /** A connection has arrived; later, it has closed. */
  | { readonly kind: 'has'; readonly id: number }
  | { readonly kind: 'closed'; readonly id: number }
  | { readonly kind: 'taken'; readonly taken: Taken }
  | { readonly kind: 'counts'; readonly id: number; readonly metrics: readonly Metric[] }
  /** Somebody asks this worker what all have counted. */
  | { readonly kind: 'askCounts'; readonly id: number };
