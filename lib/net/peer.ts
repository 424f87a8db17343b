import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Peer, plainAddress } from '../access.ts';

const NO_NAMES: readonly string[] = [];
/**
 * One DNS name among the subject alternative names, as Node writes them: an entry that contains a
 * comma or a quote is quoted, with every comma escaped, so that no entry can look like two. No DNS
 * name contains either, so such an entry is not matched.
 */
const DNS_ENTRY = /^DNS:([A-Za-z0-9*._-]+)$/;

/** What a connection tells of its other end. */
export function peerOf(socket: Socket): Peer {
  const address = plainAddress(socket.remoteAddress ?? '');
  const plain = { address, secure: false, certificateNames: NO_NAMES, certificateError: undefined };
  if (!(socket instanceof TLSSocket)) return plain;
  // Also undefined if the socket is destroyed already.
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { ...plain, secure: true };
  const certificateError = socket.authorized ? undefined : String(socket.authorizationError);
  const certificateNames = socket.authorized ? namesOf(certificate) : NO_NAMES;
  return { address, secure: true, certificateNames, certificateError };
}

/** The DNS names of a certificate (RFC 6125 section 6.4: never its common name). */
function namesOf({ subjectAltName = '' }: X509Certificate): readonly string[] {
  return subjectAltName.split(', ').flatMap((entry) => DNS_ENTRY.exec(entry)?.[1] ?? []);
}
