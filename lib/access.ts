/**
 * Who may do what: the words that listeners, services and the authorities share. The authorities
 * are in `lib/auth`; here is only what the others need to ask them.
 */
import { EncServerError } from './errors.ts';

/**
 * What a caller may be allowed. `frontend` is everything that a front end asks of a back end;
 * `store`, `retrieve` and `delete` are operations of a front end; `admin` is what operators ask
 * of either, and at a back end has `frontend` in it: they work on records through its wire.
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
  /** Why its client certificate is not valid, where it has shown such a one. */
  readonly certificateError: string | undefined;
}

/** Somebody who asks for something. Lives as long as what it stands for is valid. */
export interface Caller {
  /** For logs: `anyone`, `nobody`, `token 3f9a12…`, `certificate fe`. Never a secret. */
  readonly label: string;
  /** The only namespace that it may touch: requests that name none mean it. */
  readonly namespace: Buffer | undefined;
  /**
   * @throws EncServerError `UNAUTHENTICATED` for nobody, and for a token that has ended since;
   *   `NOT_ALLOWED` without the scope, or in another namespace
   */
  require(scope: Scope, namespace?: Buffer): void;
}

/** The authority of one port. */
export interface Gate {
  /** Who has just connected, before it says who it is. Refuses nothing: that comes with asking. */
  greet(peer: Peer): Caller;
  /** Whom a token stands for. @throws EncServerError `UNAUTHENTICATED`, `RATE_LIMITED` */
  identify(token: Buffer, peer: Peer): Caller;
  /** Lets a request in. @throws EncServerError `RATE_LIMITED` */
  admit(caller: Caller, peer: Peer): void;
  /** Takes note of a wrong record key, so that whoever tries many is slowed down. */
  noteWrongKey(caller: Caller, peer: Peer): void;
}

/** May do everything: this process itself, and everyone where there is no authentication. */
export const ANYONE: Caller = {
  label: 'anyone',
  namespace: undefined,
  require: () => undefined,
};

/** May do nothing: whoever has not said who it is where that is asked for. */
export const NOBODY: Caller = {
  label: 'nobody',
  namespace: undefined,
  require() {
    throw new EncServerError('UNAUTHENTICATED', 'nobody said who is asking');
  },
};

/** Whether a caller has not said who it is where that is asked for, or not in a way that counts. */
export function isNobody({ label }: Caller): boolean {
  return label === NOBODY.label;
}

/**
 * Refuses who has not said who it is, where nothing is to be held for such.
 *
 * @throws EncServerError `UNAUTHENTICATED`
 */
export function refuseNobody(caller: Caller): void {
  if (isNobody(caller)) caller.require('store');
}

/** Whether a caller has shown who it is: `anyone` may do everything, and is nobody in particular. */
export function isKnown({ label }: Caller): boolean {
  return label !== ANYONE.label && label !== NOBODY.label;
}

/** Whether a caller has a scope, where it is no error not to. */
export function hasScope(caller: Caller, scope: Scope, namespace?: Buffer): boolean {
  try {
    caller.require(scope, namespace);
    return true;
  } catch {
    return false;
  }
}

/** For what this process asks itself; bounds nothing. */
export const OPEN_GATE: Gate = {
  greet: () => ANYONE,
  identify: () => ANYONE,
  admit: () => undefined,
  noteWrongKey: () => undefined,
};
