/** Callers with scopes, identified by token or by client certificate. */
import { type Caller, SCOPES, type Scope } from '../access.ts';
import { EncServerError } from '../errors.ts';
import type { TokenEntry } from './token-file.ts';

/** The server that the callers belong to: at a back end, `admin` includes `frontend`. */
export type Role = 'fe' | 'be';

/** What a caller may do, and where. */
export interface Grant {
  readonly scopes: readonly Scope[];
  readonly namespace: string | undefined;
}

export class ScopedCaller implements Caller {
  readonly label: string;
  readonly namespace: Buffer | undefined;
  readonly #scopes: ReadonlySet<Scope>;
  readonly #expiresMs: number;
  /** Why it may do nothing any more; undefined while it may. */
  #ended: string | undefined;

  constructor(label: string, grant: Grant, role: Role, expiresMs = Number.POSITIVE_INFINITY) {
    this.label = label;
    this.namespace = grant.namespace === undefined ? undefined : Buffer.from(grant.namespace);
    const implied: Scope[] = role === 'be' && grant.scopes.includes('admin') ? ['frontend'] : [];
    this.#scopes = new Set([...grant.scopes, ...implied]);
    this.#expiresMs = expiresMs;
  }

  /** From here on it may do nothing, not even on connections that are open. */
  end(why: string): void {
    this.#ended = why;
  }

  /** @throws EncServerError `UNAUTHENTICATED` if what it stands for has ended */
  checkValid(): void {
    if (this.#ended !== undefined) throw new EncServerError('UNAUTHENTICATED', this.#ended);
    if (Date.now() < this.#expiresMs) return;
    const hint = 'ask for a new one: enc-server tokens create';
    throw new EncServerError('UNAUTHENTICATED', 'the token has expired', { hint });
  }

  require(scope: Scope, namespace?: Buffer): void {
    this.checkValid();
    if (!this.#scopes.has(scope)) {
      const hint = `it takes the scope ${scope}`;
      throw new EncServerError('NOT_ALLOWED', 'the caller may not do this', { hint });
    }
    const isElsewhere = namespace !== undefined && !(this.namespace?.equals(namespace) ?? true);
    if (!isElsewhere) return;
    const hint = 'leave the namespace out, and the one of the token is meant';
    throw new EncServerError('NOT_ALLOWED', 'the namespace is not the one of the caller', { hint });
  }
}

export function callerOfToken(entry: TokenEntry, role: Role): ScopedCaller {
  return new ScopedCaller(`token ${entry.id}`, entry, role, entry.expiresMs);
}

/**
 * `name=scope+scope@namespace, …`: what a setting grants to names in certificates.
 *
 * @throws EncServerError `BAD_CONFIG`
 */
export function parseCertificateScopes(text: string): ReadonlyMap<string, Grant> {
  const grants = new Map<string, Grant>();
  for (const part of text.split(/\s*,\s*/).filter(Boolean)) {
    // A namespace may have both signs in it.
    const [name, granted = ''] = splitOnce(part, '=');
    const [scopes, namespace] = splitOnce(granted, '@');
    const list = scopes.split('+') as Scope[];
    const unknown = list.find((scope) => !SCOPES.includes(scope));
    if (unknown !== undefined) {
      const hint = `the scopes are ${SCOPES.join(', ')}`;
      throw new EncServerError('BAD_CONFIG', `certificateScopes: no scope ${unknown}`, { hint });
    }
    const key = name.toLowerCase();
    if (grants.has(key)) {
      throw new EncServerError('BAD_CONFIG', `certificateScopes: ${name} is there twice`, {
        hint: 'give each name once, with all its scopes and one namespace at most',
      });
    }
    grants.set(key, { scopes: list, namespace });
  }
  return grants;
}

/** At the first sign; the second part is undefined without one. */
function splitOnce(text: string, sign: string): [string, string | undefined] {
  const at = text.indexOf(sign);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
