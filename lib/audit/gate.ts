/** A gate that records its refusals in an audit log. */
import type { Caller, Gate, Peer } from '../access.ts';
import { toEncServerError } from '../errors.ts';
import type { AuditLog } from './audit-log.ts';

/** Refusals for too high a rate are not recorded: they would fill the disk of the log. */
export class AuditedGate implements Gate {
  readonly #gate: Gate;
  readonly #audit: AuditLog;

  constructor(gate: Gate, audit: AuditLog) {
    this.#gate = gate;
    this.#audit = audit;
  }

  greet(peer: Peer): Caller {
    return this.#gate.greet(peer);
  }

  identify(token: Buffer, peer: Peer): Caller {
    try {
      return this.#gate.identify(token, peer);
    } catch (error) {
      const { code } = toEncServerError(error);
      if (code !== 'RATE_LIMITED') {
        this.#audit.tell({ operation: 'auth', who: 'nobody', from: peer.address }, code);
      }
      throw error;
    }
  }

  admit(caller: Caller, peer: Peer): void {
    this.#gate.admit(caller, peer);
  }

  noteWrongKey(caller: Caller, peer: Peer): void {
    this.#gate.noteWrongKey(caller, peer);
  }
}
