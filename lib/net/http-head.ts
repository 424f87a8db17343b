/** Checks on the head of an HTTP request, which Node leaves to us. */
import type { IncomingMessage } from 'node:http';
import { EncServerError } from '../errors.ts';

/** RFC 9112 section 3.2.2. */
const ABSOLUTE_FORM = /^https?:\/\/(?<host>[^/?#]*)(?<rest>.*)$/i;
/** RFC 9110 section 7.2. */
const HOST = /^(?<name>\[[0-9A-Fa-f:.]+\]|[^\s:[\]/@?#]+)(?::\d{1,5})?$/;

/**
 * Reduces an absolute target to its path. Its host takes the place of `Host` (RFC 9112 section
 * 3.2.2), so that the two cannot tell different checks different things.
 */
export function toOriginForm(request: IncomingMessage): void {
  const { host, rest = '' } = ABSOLUTE_FORM.exec(request.url ?? '')?.groups ?? {};
  if (host === undefined) return;
  request.headers.host = host;
  request.url = rest.startsWith('/') ? rest : `/${rest}`;
}

/**
 * Where more than one host is named, or none, or it is malformed, intermediaries may disagree about
 * the host (RFC 9112 section 3.2).
 *
 * @throws EncServerError `INVALID_FIELD`
 */
export function checkHost({ headers, rawHeaders, httpVersionMinor }: IncomingMessage): void {
  const { host } = headers;
  let lines = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() === 'host') lines++;
  }
  if (lines > 1) throw invalid('there are two headers Host');
  if (lines === 0 && httpVersionMinor > 0) throw invalid('the header Host is missing');
  if (host !== undefined && nameInHost(host) === undefined)
    throw invalid('the header Host is malformed');
}

/**
 * A target has no fragment (RFC 9112 section 3.2). The router would cut it off, and what is left
 * may be the ID of another record.
 *
 * @throws EncServerError `INVALID_FIELD`
 */
export function checkTarget({ url = '' }: IncomingMessage): void {
  if (!url.includes('#')) return;
  const hint = 'a # that belongs to an ID is written %23';
  throw new EncServerError('INVALID_FIELD', 'there is a # in the URL', { hint });
}

/** The name or address in a value of `Host`, without its port; undefined if it is malformed. */
export function nameInHost(host: string): string | undefined {
  return HOST.exec(host)?.groups?.['name'];
}

function invalid(words: string): EncServerError {
  return new EncServerError('INVALID_FIELD', words, { hint: 'see RFC 9112, section 3.2' });
}
