/** The messages between the processes of a front end with several workers. */
import type { Left, Taken } from '../../auth/joint-bounds.ts';
import type { Config } from '../../config/load.ts';
import type { Metric } from '../../metrics.ts';
import type { Failed } from '../../parent-process.ts';

/** What the parent tells a worker. */
export type ToWorker =
  /**
   * Start, and say `ready` before anything is served. `left`: remaining allowance of callers below
   * their full bound.
   */
  | { readonly kind: 'start'; readonly config: Config; readonly left: Left }
  /** All workers are ready; connections come from this port. */
  | { readonly kind: 'port'; readonly port: number }
  /** Comes with a socket, unless that has closed meanwhile. */
  | { readonly kind: 'connection'; readonly id: number }
  | { readonly kind: 'left'; readonly left: Left; readonly isAnswer: boolean }
  /** Report your metrics. */
  | { readonly kind: 'count'; readonly id: number }
  /** The metrics of all workers, for the one that asked. */
  | { readonly kind: 'counted'; readonly id: number; readonly metrics: readonly Metric[] }
  | { readonly kind: 'stop' };

/** What a worker tells the parent. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'listening'; readonly line: string }
  | Failed
  /** A connection has arrived, and later closed. */
  | { readonly kind: 'has'; readonly id: number }
  | { readonly kind: 'closed'; readonly id: number }
  | { readonly kind: 'taken'; readonly taken: Taken }
  | { readonly kind: 'counts'; readonly id: number; readonly metrics: readonly Metric[] }
  /** This worker is asked for the metrics of all. */
  | { readonly kind: 'askCounts'; readonly id: number };
