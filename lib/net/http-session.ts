/** The caller of an HTTP request: by its bearer token, and by the address that a proxy reports. */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv6, type Socket } from 'node:net';
import { type Gate, type Peer, plainAddress } from '../access.ts';
import { EncServerError } from '../errors.ts';
import { peerOf } from './peer.ts';
import { Session } from './session.ts';

/** RFC 6750 section 2.1. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i;
/** Our access tokens, and the parameter names under which other programs put theirs. */
const TOKEN_IN_URL = /est_[0-9a-f]{12}_[A-Za-z0-9_-]{43}|[?&](?:access_)?token=|[?&]api_?key=/i;
/** Letters, digits, `-` and `_`. An escaped `?` or `&` begins no parameter, and may be in an ID. */
const ESCAPED_WORD = /%(2d|3[0-9]|[46][1-9a-f]|[57][0-9a]|5f)/gi;

/** Proxies whose `X-Forwarded-For` is believed. */
export class TrustedProxies {
  readonly #list = new BlockList();
  readonly #none: boolean;

  /** @param text Addresses and networks (`10.0.0.0/8`) with commas between them. */
  constructor(text: string) {
    const entries = text.split(/[\s,]+/).filter(Boolean);
    this.#none = entries.length === 0;
    for (const entry of entries) {
      const [address = '', bits] = entry.split('/');
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      try {
        if (bits === undefined) this.#list.addAddress(address, family);
        else this.#list.addSubnet(address, Number(bits), family);
      } catch (cause) {
        const words = `trustedProxies: ${entry} is no address and no network`;
        throw new EncServerError('BAD_CONFIG', words, { hint: 'write 10.0.0.0/8 or ::1', cause });
      }
    }
  }

  /**
   * The address that a request came from: the last one in `X-Forwarded-For` that is not a trusted
   * proxy, since everything before that can be forged.
   */
  addressOf(direct: string, forwarded: string | undefined): string {
    if (this.#none || forwarded === undefined || !this.#trusts(direct)) return direct;
    let address = direct;
    for (const part of forwarded.split(',').reverse()) {
      const named = plainAddress(part.trim().replace(/^\[|\]$/g, ''));
      if (isIP(named) === 0) return address;
      address = named;
      if (!this.#trusts(named)) return address;
    }
    return address;
  }

  #trusts(address: string): boolean {
    return isIP(address) !== 0 && this.#list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  }
}

const PEERS = new WeakMap<Socket, Peer>();

/**
 * The caller of one request; HTTP knows no connections.
 *
 * @throws EncServerError `UNAUTHENTICATED`, `RATE_LIMITED`; `NOT_ALLOWED` for a token in the URL,
 *   which any program on the way may log
 */
export function sessionOf(request: IncomingMessage, gate: Gate, proxies: TrustedProxies): Session {
  const session = new Session(gate, peerOfRequest(request, proxies));
  if (hasToken(request.url ?? '')) {
    const hint = 'send it as Authorization: Bearer, and revoke this one: it may have been logged';
    throw new EncServerError('NOT_ALLOWED', 'there is a token in the URL', { hint });
  }
  const { authorization } = request.headers;
  if (authorization !== undefined) session.authenticate(Buffer.from(bearerTokenOf(authorization)));
  session.admit(session.caller);
  return session;
}

/** Any character of a token may be escaped, and whoever reads a log can undo that. */
function hasToken(url: string): boolean {
  if (TOKEN_IN_URL.test(url)) return true;
  return url.includes('%') && TOKEN_IN_URL.test(url.replace(ESCAPED_WORD, decodeEscape));
}

function decodeEscape(_escape: string, digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 16));
}

function peerOfRequest({ socket, headers }: IncomingMessage, proxies: TrustedProxies): Peer {
  let peer = PEERS.get(socket);
  if (peer === undefined) {
    peer = peerOf(socket);
    PEERS.set(socket, peer);
  }
  const forwarded = headers['x-forwarded-for'];
  const named = Array.isArray(forwarded) ? forwarded.join(',') : forwarded;
  const address = proxies.addressOf(peer.address, named);
  return address === peer.address ? peer : { ...peer, address };
}

/** @throws EncServerError `UNAUTHENTICATED` */
export function bearerTokenOf(authorization: string): string {
  const token = BEARER.exec(authorization)?.[1];
  if (token !== undefined) return token;
  const hint = 'write Authorization: Bearer <token>';
  throw new EncServerError('UNAUTHENTICATED', 'Authorization holds no bearer token', { hint });
}
