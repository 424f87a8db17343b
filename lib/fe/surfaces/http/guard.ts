/**
 * Keeps arbitrary web pages in a browser from using a server that trusts whoever reaches it. A page
 * elsewhere can send requests here, but it cannot choose what identifies it: the origin that it was
 * loaded from (Origin), and, if its own name was made to resolve to this server (DNS rebinding),
 * the name in Host.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { nameInHost } from '../../../net/http-head.ts';
import { StatusError } from './answers.ts';

/** How many accepted values of Host are remembered; there are few. */
const KNOWN_MAX = 64;

export class HostGuard {
  readonly #any: boolean;
  readonly #names: ReadonlySet<string>;
  readonly #suffixes: readonly string[];
  readonly #known = new Set<string>();

  /**
   * @param host Where the server listens.
   * @param allowedHosts Names with commas between them: `vault.example`, `.example` for all
   * names below it, `*` for any name.
   */
  constructor(host: string, allowedHosts: string) {
    const listed = allowedHosts
      .toLowerCase()
      .split(/[\s,]+/)
      .filter(Boolean);
    this.#any = listed.includes('*');
    this.#suffixes = listed.filter((name) => name.startsWith('.'));
    this.#names = new Set(['localhost', host.toLowerCase(), ...listed]);
  }

  /** @throws StatusError 403, `NOT_ALLOWED` */
  check(headers: IncomingHttpHeaders): void {
    const { host, origin } = headers;
    // Without Host it is HTTP/1.0, which browsers do not speak.
    if (host !== undefined && !this.#known.has(host)) this.#checkHost(host);
    if (origin !== undefined && hostOf(origin) !== host?.toLowerCase()) {
      throw refusal('the request comes from a page of another origin', 'there is no CORS here');
    }
  }

  #checkHost(host: string): void {
    const name = nameInHost(host)?.toLowerCase();
    if (name === undefined || !this.#allows(name)) {
      const hint = 'name it in the setting allowedHosts, or use an address or localhost';
      throw refusal('the server is not known under the name in Host', hint);
    }
    // Callers choose ports and addresses, so the memory must be bounded.
    if (this.#known.size === KNOWN_MAX) this.#known.clear();
    this.#known.add(host);
  }

  /** An address is not a name, so no name server can make it lead elsewhere. */
  #allows(name: string): boolean {
    if (this.#any || this.#names.has(name)) return true;
    if (isIP(name.replace(/^\[|\]$/g, '')) !== 0) return true;
    return this.#suffixes.some((suffix) => name.endsWith(suffix));
  }
}

/** `host:port` of an origin, as Host has it: without the port that its scheme implies. */
function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function refusal(words: string, hint: string): StatusError {
  return new StatusError(403, 'NOT_ALLOWED', words, { hint });
}
