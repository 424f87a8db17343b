import { isIPv4 } from 'node:net';
import type { ServerSection } from '../config/load.ts';
import { EncServerError } from '../errors.ts';
import type { Address } from './lane.ts';
import type { TlsClientFiles } from './tls-files.ts';

/** Whether a host can be reached from this machine only: `localhost`, 127.0.0.0/8 or ::1. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIPv4(host) && host.startsWith('127.');
}

/** The settings of a server that decide this. */
type Listening = Pick<ServerSection, 'host' | 'auth' | 'allowOpen' | 'allowPlaintext' | 'tlsCert'>;

/**
 * A server without authentication stays on loopback unless it is explicitly configured otherwise.
 * Throws `NOT_ALLOWED`, naming the setting.
 */
export function checkListening({
  host,
  auth,
  allowOpen,
  allowPlaintext,
  tlsCert,
}: Listening): void {
  if (allowOpen || isLoopback(host)) return;
  if (auth === 'required') {
    if (tlsCert !== '' || allowPlaintext) return;
    const hint =
      'set tlsCert and tlsKey (--tls FOLDER), or allowPlaintext where the network encrypts';
    const words = `${host} is not loopback, and tokens would travel in the clear`;
    throw new EncServerError('NOT_ALLOWED', words, { hint });
  }
  const hint =
    'let callers say who they are (--tls FOLDER --auth), or allow it on purpose with --allow-open, ' +
    'ENC_SERVER_TS_ALLOW_OPEN=1 or "allowOpen" in the configuration file';
  throw new EncServerError('NOT_ALLOWED', `${host} is not loopback, and nobody is authenticated`, {
    hint,
  });
}

/** The options of a client that decide whether it may send its token. */
export interface Calling {
  readonly address: Address;
  readonly token?: string | undefined;
  readonly tls?: TlsClientFiles | undefined;
  readonly allowPlaintext?: boolean | undefined;
}

/**
 * A token is sent beyond loopback only over TLS, unless somebody says otherwise on purpose.
 *
 * @throws EncServerError `BAD_CONFIG`, naming the setting
 */
export function checkCalling({ address, token, tls, allowPlaintext }: Calling): void {
  if (token === undefined || tls !== undefined || allowPlaintext) return;
  const { host } = address;
  if (isLoopback(host.toLowerCase())) return;
  const hint =
    'call over TLS (--tls-ca, --tls), or, where the network encrypts, allow it with ' +
    '--allow-plaintext, or allowPlaintext in the settings of the client';
  const words = `${host} is not loopback, and the token would travel in the clear`;
  throw new EncServerError('BAD_CONFIG', words, { hint });
}
