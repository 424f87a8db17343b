/** One connection's caller: who it is, and what follows from that. */
import type { Socket } from 'node:net';
import { type Caller, type Gate, OPEN_GATE, type Peer } from '../access.ts';
import { peerOf } from './peer.ts';

export class Session {
  readonly peer: Peer;
  readonly #gate: Gate;
  #caller: Caller;

  constructor(gate: Gate, peer: Peer) {
    this.peer = peer;
    this.#gate = gate;
    this.#caller = gate.greet(peer);
  }

  static of(socket: Socket, gate: Gate): Session {
    return new Session(gate, peerOf(socket));
  }

  get caller(): Caller {
    return this.#caller;
  }

  /**
   * From here on the connection belongs to the token. After a failed attempt it has what it had
   * without any token, not what an earlier token gave.
   *
   * @throws EncServerError `UNAUTHENTICATED`, `RATE_LIMITED`
   */
  authenticate(token: Buffer): void {
    this.#caller = this.#gate.greet(this.peer);
    this.#caller = this.identify(token);
  }

  /** The caller of a token that was sent with one request. @throws as {@link authenticate} */
  identify(token: Buffer): Caller {
    return this.#gate.identify(token, this.peer);
  }

  /** @throws EncServerError `RATE_LIMITED` */
  admit(caller: Caller): void {
    this.#gate.admit(caller, this.peer);
  }

  noteWrongKey(caller: Caller): void {
    this.#gate.noteWrongKey(caller, this.peer);
  }
}

/** The session for requests that a server makes of itself. */
export const OWN_SESSION = new Session(OPEN_GATE, {
  address: '',
  secure: true,
  certificateNames: [],
  certificateError: undefined,
});
