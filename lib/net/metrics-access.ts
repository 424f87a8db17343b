/** Who may read the metrics: this machine, and operators. */
import type { IncomingMessage } from 'node:http';
import { isLoopback } from './host-policy.ts';
import { peerOf } from './peer.ts';
import type { Session } from './session.ts';

/** With any of them, somebody passes the request on (RFC 7239, and what was usual before). */
const FORWARDING = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/** @throws EncServerError `UNAUTHENTICATED`, `NOT_ALLOWED` */
export function checkMetricsAccess(request: IncomingMessage, { caller }: Session): void {
  if (!isFromHere(request)) caller.require('admin');
}

/**
 * Whether a program of this machine asks. A proxy here is one too, but those whom it serves are
 * not: they can write any address into what it passes on, this machine's among them.
 */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  return isLoopback(peerOf(socket).address) && FORWARDING.every((name) => !(name in headers));
}
