/** The authority of one server: it knows the callers, and how often they may ask. */
import { stat } from 'node:fs/promises';
import {
  ANYONE,
  type Caller,
  type Gate,
  isKnown,
  NOBODY,
  networkOf,
  type Peer,
} from '../access.ts';
import type { ServerSection } from '../config/load.ts';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { BOUNDS, type Bound, type BoundName } from './bounds.ts';
import {
  callerOfToken,
  type Grant,
  parseCertificateScopes,
  type Role,
  ScopedCaller,
} from './callers.ts';
import { Limiter } from './limiter.ts';
import { hashesAgree, parseToken } from './token.ts';
import { readTokens, type TokenEntry } from './token-file.ts';

/** A gate that watches its token file. */
export interface RunningGate extends Gate {
  /** Reads the tokens again if their file has changed. Never rejects. */
  refresh(): Promise<void>;
  close(): void;
}

type GateSection = Pick<
  ServerSection,
  | 'auth'
  | 'tokens'
  | 'certificateScopes'
  | 'requestsPerSecondMax'
  | 'wrongKeysPerMinuteMax'
  | 'wrongTokensPerMinuteMax'
>;

interface Known {
  readonly entry: TokenEntry;
  readonly caller: ScopedCaller;
}

/** How long a revoked token may remain valid, in milliseconds. */
const REFRESH_MS = 500;
/** What an unknown ID is compared with, so that it takes as long as a wrong secret. */
const NO_HASH = Buffer.alloc(32);

export interface GateOptions {
  /** Set where several processes count together how often callers ask. */
  readonly boundOf?: ((name: BoundName) => Bound) | undefined;
}

/** Rejects with `BAD_CONFIG`, or `FILE_ERROR` for the tokens. */
export async function openGate(
  section: GateSection,
  role: Role,
  log: Logger,
  { boundOf }: GateOptions = {},
): Promise<RunningGate> {
  const own = (name: BoundName) => {
    const { setting, windowMs } = BOUNDS[name];
    return new Limiter(section[setting], windowMs);
  };
  const limits = new CallerBounds(boundOf ?? own);
  // Checked in any case, so that no mistake waits for the day when `auth` is set.
  const certificates = parseCertificateScopes(section.certificateScopes);
  if (section.auth === 'none') return new OpenGate(limits);
  const gate = new TokenGate({ path: section.tokens, certificates }, role, limits, log);
  await gate.load();
  return gate;
}

/** The bounds per caller and per address; never per record, which would lock its owner out. */
class CallerBounds {
  readonly #requests: Bound;
  readonly #wrongKeys: Bound;
  readonly #wrongTokens: Bound;

  constructor(boundOf: (name: BoundName) => Bound) {
    this.#requests = boundOf('requests');
    this.#wrongKeys = boundOf('wrongKeys');
    this.#wrongTokens = boundOf('wrongTokens');
  }

  admit(caller: Caller, { address }: Peer): void {
    const network = networkOf(address);
    const names = isKnown(caller) ? [network, caller.label] : [network];
    if (!names.every((name) => this.#wrongKeys.has(name))) {
      throw limited('too many wrong record keys', this.#wrongKeys, names);
    }
    if (!names.every((name) => this.#requests.take(name))) {
      throw limited('too many requests', this.#requests, names);
    }
  }

  noteWrongKey(caller: Caller, { address }: Peer): void {
    this.#wrongKeys.note(networkOf(address));
    if (isKnown(caller)) this.#wrongKeys.note(caller.label);
  }

  checkTokens({ address }: Peer): void {
    const network = networkOf(address);
    if (this.#wrongTokens.has(network)) return;
    throw limited('too many wrong tokens', this.#wrongTokens, [network]);
  }

  noteWrongToken({ address }: Peer): void {
    this.#wrongTokens.note(networkOf(address));
  }
}

/** Without authentication: anyone who reaches the port may do everything. */
class OpenGate implements RunningGate {
  readonly #limits: CallerBounds;

  constructor(limits: CallerBounds) {
    this.#limits = limits;
  }

  greet(): Caller {
    return ANYONE;
  }

  /** A client that has a token may send it to any server. */
  identify(): Caller {
    return ANYONE;
  }

  admit(caller: Caller, peer: Peer): void {
    this.#limits.admit(caller, peer);
  }

  noteWrongKey(caller: Caller, peer: Peer): void {
    this.#limits.noteWrongKey(caller, peer);
  }

  async refresh(): Promise<void> {
    // There is nothing to read.
  }

  close(): void {
    // There is nothing to end.
  }
}

/** Where callers are looked up: the file of the tokens, and the names in certificates. */
interface Sources {
  readonly path: string;
  readonly certificates: ReadonlyMap<string, Grant>;
}

class TokenGate implements RunningGate {
  readonly #path: string;
  readonly #role: Role;
  readonly #limits: CallerBounds;
  readonly #log: Logger;
  readonly #certificates: ReadonlyMap<string, Grant>;
  #known = new Map<string, Known>();
  /** The state of the file when it was last read. */
  #seen = '';
  #timer: NodeJS.Timeout | undefined;

  constructor({ path, certificates }: Sources, role: Role, limits: CallerBounds, log: Logger) {
    this.#path = path;
    this.#role = role;
    this.#limits = limits;
    this.#log = log;
    this.#certificates = certificates;
  }

  /** Rejects with `FILE_ERROR`. */
  async load(): Promise<void> {
    this.#seen = await this.#look();
    this.#take(await readTokens(this.#path));
    this.#timer = setInterval(() => void this.refresh(), REFRESH_MS);
    this.#timer.unref();
  }

  async refresh(): Promise<void> {
    try {
      const seen = await this.#look();
      if (seen === this.#seen) return;
      this.#take(await readTokens(this.#path));
      this.#seen = seen;
    } catch (err) {
      // Revoked tokens stay revoked, and valid ones stay valid, rather than locking everyone out.
      this.#log.error({ err }, 'the tokens cannot be read; the ones from before go on');
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  greet({ certificateNames, certificateError }: Peer): Caller {
    for (const name of certificateNames) {
      const grant = this.#certificates.get(name.toLowerCase());
      if (grant !== undefined) return new ScopedCaller(`certificate ${name}`, grant, this.#role);
    }
    return certificateError === undefined ? NOBODY : withBadCertificate(certificateError);
  }

  identify(token: Buffer, peer: Peer): Caller {
    this.#limits.checkTokens(peer);
    const parsed = parseToken(token);
    const known = parsed && this.#known.get(parsed.id);
    const agrees = hashesAgree(parsed?.hash ?? NO_HASH, known?.entry.hash ?? NO_HASH);
    if (parsed === undefined || known === undefined || !agrees) {
      this.#limits.noteWrongToken(peer);
      throw new EncServerError('UNAUTHENTICATED', 'there is no such token');
    }
    known.caller.checkValid();
    return known.caller;
  }

  admit(caller: Caller, peer: Peer): void {
    this.#limits.admit(caller, peer);
  }

  noteWrongKey(caller: Caller, peer: Peer): void {
    this.#limits.noteWrongKey(caller, peer);
  }

  /** A caller stays the same object as long as its token is unchanged. */
  #take(entries: readonly TokenEntry[]): void {
    const known = new Map<string, Known>();
    for (const entry of entries) {
      const before = this.#known.get(entry.id);
      const caller = before && isSame(before.entry, entry) ? before.caller : undefined;
      known.set(entry.id, { entry, caller: caller ?? callerOfToken(entry, this.#role) });
    }
    for (const [id, { caller }] of this.#known) {
      if (known.get(id)?.caller !== caller) caller.end('the token was revoked');
    }
    this.#known = known;
  }

  async #look(): Promise<string> {
    try {
      const { ino, size, mtimeMs, ctimeMs } = await stat(this.#path);
      return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return 'none';
      throw thrown;
    }
  }
}

function isSame(a: TokenEntry, b: TokenEntry): boolean {
  const sameScopes = a.scopes.join() === b.scopes.join() && a.namespace === b.namespace;
  return sameScopes && a.expiresMs === b.expiresMs && a.hash.equals(b.hash);
}

function withBadCertificate(reason: string): Caller {
  return {
    ...NOBODY,
    require() {
      const words = `the client certificate is not valid (${reason})`;
      throw new EncServerError('UNAUTHENTICATED', words, { hint: 'renew it, or send a token' });
    },
  };
}

function limited(words: string, bound: Bound, names: readonly string[]): EncServerError {
  const retryAfterMs = Math.max(...names.map((name) => bound.dueMs(name)));
  return new EncServerError('RATE_LIMITED', words, { retryAfterMs });
}
