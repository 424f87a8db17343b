/** Who may read the metrics: this machine, and operators. */
import type { IncomingMessage } from 'node:http';
import { isKnown, NOBODY } from '../access.ts';
import { isLoopback } from './host-policy.ts';
import { peerOf } from './peer.ts';
import type { Session } from './session.ts';

/**
 * Any of these headers means that a proxy passed the request on (RFC 7239, and what was usual
 * before).
 */
const FORWARDING = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/**
 * This machine by its own names. A page in a browser here can make another name resolve to it (DNS
 * rebinding), but it cannot choose the value of Host.
 */
const HERE = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/** @throws EncServerError `UNAUTHENTICATED`, `NOT_ALLOWED` */
export function checkMetricsAccess(request: IncomingMessage, { caller }: Session): void {
  if (isFromHere(request)) return;
  // Where no token is required, anyone could otherwise read them from anywhere.
  (isKnown(caller) ? caller : NOBODY).require('admin');
}

/**
 * Whether a program on this machine asks. A proxy here is one too, but its clients are not: they
 * can put any address, even this machine's, into what it passes on.
 */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const isDirect = FORWARDING.every((name) => !(name in headers));
  // A page in a browser is not a program of this machine, wherever the browser runs.
  if ('origin' in headers) return false;
  return isLoopback(peerOf(socket).address) && isDirect && HERE.test(headers.host ?? 'localhost');
}
