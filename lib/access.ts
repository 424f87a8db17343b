/**
 * Who may do what: the types that listeners, services and authorities share. The authorities are in
 * `lib/auth`; here is only what the others need in order to ask them.
 */
import { EncServerError } from './errors.ts';

/**
 * What a caller may be allowed. `frontend` is everything that a front end asks of a back end;
 * `store`, `retrieve` and `delete` are operations of a front end; `admin` is what operators ask of
 * either, and at a back end includes `frontend`, as operators work on records through its protocol.
 */
export const SCOPES = ['store', 'retrieve', 'delete', 'admin', 'frontend'] as const;

export type Scope = (typeof SCOPES)[number];

/** The other end of a connection, as far as the connection itself tells. */
export interface Peer {
  /** IP address; behind a trusted proxy, the one that the proxy names. */
  readonly address: string;
  /** Whether the bytes came through TLS. */
  readonly secure: boolean;
  /** Names in its client certificate, verified; none without one. */
  readonly certificateNames: readonly string[];
  /** Why its client certificate is not valid, if it has presented an invalid one. */
  readonly certificateError: string | undefined;
}

/** IPv4 addresses on a socket that takes both (RFC 4291 section 2.5.5.2). */
const MAPPED = /^::ffff:(?=\d+\.)/i;
const IPV6_GROUPS = 8;
/** 64 bits: the network of one subscriber, who has all addresses in it (RFC 6177). */
const IPV6_NETWORK_GROUPS = 4;

/** An address as it is shown and counted: an IPv4 one has one form. */
export function plainAddress(address: string): string {
  return address.replace(MAPPED, '');
}

/** What limits per address count by: an IPv4 address, or the first 64 bits of an IPv6 one. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const first = head.split(':').filter(Boolean);
  const last = tail?.split(':').filter(Boolean) ?? [];
  const zeros: string[] = Array(Math.max(0, IPV6_GROUPS - first.length - last.length)).fill('0');
  const groups = [...first, ...zeros, ...last].slice(0, IPV6_NETWORK_GROUPS);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}

/** Somebody who makes requests. Lives as long as what identifies it is valid. */
export interface Caller {
  /** For logs: `anyone`, `nobody`, `token 3f9a12…`, `certificate fe`. Never a secret. */
  readonly label: string;
  /** The only namespace that it may touch: requests that name none refer to it. */
  readonly namespace: Buffer | undefined;
  /**
   * @throws EncServerError `UNAUTHENTICATED` for nobody, and for a token that has ended;
   *   `NOT_ALLOWED` without the scope, or in another namespace
   */
  require(scope: Scope, namespace?: Buffer): void;
}

/** The authority of one port. */
export interface Gate {
  /**
   * The caller of a new connection, before it identifies itself. Never refuses: that comes with the
   * first request.
   */
  greet(peer: Peer): Caller;
  /** The caller of a token. @throws EncServerError `UNAUTHENTICATED`, `RATE_LIMITED` */
  identify(token: Buffer, peer: Peer): Caller;
  /** Lets a request in. @throws EncServerError `RATE_LIMITED` */
  admit(caller: Caller, peer: Peer): void;
  /** Notes a wrong record key, so that a caller that tries many is slowed down. */
  noteWrongKey(caller: Caller, peer: Peer): void;
}

/** May do everything: this process itself, and everyone where there is no authentication. */
export const ANYONE: Caller = {
  label: 'anyone',
  namespace: undefined,
  require: () => undefined,
};

/** May do nothing: a caller that has not identified itself where that is required. */
export const NOBODY: Caller = {
  label: 'nobody',
  namespace: undefined,
  require() {
    throw new EncServerError('UNAUTHENTICATED', 'nobody said who is asking');
  },
};

/** Whether a caller has not identified itself validly where that is required. */
export function isNobody({ label }: Caller): boolean {
  return label === NOBODY.label;
}

/**
 * Refuses callers that have not identified themselves, where no resources may be held for them.
 *
 * @throws EncServerError `UNAUTHENTICATED`
 */
export function refuseNobody(caller: Caller): void {
  if (isNobody(caller)) caller.require('store');
}

/** Whether a caller is identified: `anyone` may do everything, but is nobody in particular. */
export function isKnown({ label }: Caller): boolean {
  return label !== ANYONE.label && label !== NOBODY.label;
}

/** Whether a caller has a scope, where lacking it is not an error. */
export function hasScope(caller: Caller, scope: Scope, namespace?: Buffer): boolean {
  try {
    caller.require(scope, namespace);
    return true;
  } catch {
    return false;
  }
}

/** For requests that this process makes of itself; bounds nothing. */
export const OPEN_GATE: Gate = {
  greet: () => ANYONE,
  identify: () => ANYONE,
  admit: () => undefined,
  noteWrongKey: () => undefined,
};
