/** Who may read the metrics: this machine, and operators. */
import { isLoopback } from './host-policy.ts';
import type { Session } from './session.ts';

/** @throws EncServerError `UNAUTHENTICATED`, `NOT_ALLOWED` */
export function checkMetricsAccess({ peer, caller }: Session): void {
  if (!isLoopback(peer.address)) caller.require('admin');
}
