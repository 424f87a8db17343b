/** Who may read the metrics: this machine, and operators. */
import type { IncomingMessage } from 'node:http';
import { isKnown, NOBODY } from '../access.ts';
import { isLoopback } from './host-policy.ts';
import { peerOf } from './peer.ts';
import type { Session } from './session.ts';

/** With any of them, somebody passes the request on (RFC 7239, and what was usual before). */
const FORWARDING = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/**
 * This machine by its own names. A page in a browser here can make another name lead to it (DNS
 * rebinding), but not choose what stands in Host.
 */
const HERE = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/** @throws EncServerError `UNAUTHENTICATED`, `NOT_ALLOWED` */
export function checkMetricsAccess(request: IncomingMessage, { caller }: Session): void {
  if (isFromHere(request)) return;
  // Where nobody is asked for a token, everyone could read them from everywhere.
  (isKnown(caller) ? caller : NOBODY).require('admin');
}

/**
 * Whether a program of this machine asks. A proxy here is one too, but those whom it serves are
 * not: they can write any address into what it passes on, this machine's among them.
 */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const isDirect = FORWARDING.every((name) => !(name in headers));
  // A page in a browser is no program of this machine, wherever the browser runs.
  if ('origin' in headers) return false;
  return isLoopback(peerOf(socket).address) && isDirect && HERE.test(headers.host ?? 'localhost');
}
