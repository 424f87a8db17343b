import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Peer } from '../access.ts';

const NO_NAMES: readonly string[] = [];
/** IPv4 addresses on a socket that takes both (RFC 4291 section 2.5.5.2). */
const MAPPED = /^::ffff:(?=\d+\.)/;

/** What a connection tells of its other end. */
export function peerOf(socket: Socket): Peer {
  const address = (socket.remoteAddress ?? '').replace(MAPPED, '');
  if (!(socket instanceof TLSSocket)) {
    return { address, secure: false, certificateNames: NO_NAMES };
  }
  const certificateNames = socket.authorized ? namesOf(socket) : NO_NAMES;
  return { address, secure: true, certificateNames };
}

/** The DNS names of a verified certificate (RFC 6125 section 6.4: never its common name). */
function namesOf(socket: TLSSocket): readonly string[] {
  const { subjectaltname = '' } = socket.getPeerCertificate();
  return [...subjectaltname.matchAll(/(?:^|, )DNS:([^,"]+)/g)].map(([, name = '']) => name);
}
