/** Which server a client calls, and how, from the settings of its section. */
import type { Config } from '../config/load.ts';
import { EncServerError } from '../errors.ts';
import { parseAddress } from './client.ts';
import type { Address } from './lane.ts';
import type { TlsClientFiles } from './tls-files.ts';

type CallerSection = Config['feClientConfigs'] | Config['beClientConfigs'];

export interface CallSettings {
  readonly address: Address;
  readonly token: string | undefined;
  /** Whether the token may be sent beyond loopback without TLS. */
  readonly allowPlaintext?: boolean;
  /** Undefined where there is no TLS. */
  readonly tls: TlsClientFiles | undefined;
}

/**
 * An authority or a certificate implies TLS; without either, `tls` decides.
 *
 * @throws EncServerError `BAD_CONFIG` if TLS is half configured: whoever sets a server name or a
 *   key expects TLS, and must not send a token in the clear
 */
export function callOf(section: CallerSection): CallSettings {
  const { serverAddr, token, allowPlaintext, tls, tlsCa, tlsCert, tlsKey, tlsServerName } = section;
  const isSecure = tls || tlsCa !== '' || tlsCert !== '';
  if ((tlsCert === '') !== (tlsKey === '')) {
    const hint = 'give both: --tls-cert and --tls-key';
    throw new EncServerError('BAD_CONFIG', 'a client certificate takes tlsCert and tlsKey', {
      hint,
    });
  }
  if (tlsServerName !== '' && !isSecure) {
    const hint = 'add --tls-ca, or --tls for the authorities of the system';
    throw new EncServerError('BAD_CONFIG', 'tlsServerName is set, and TLS is not', { hint });
  }
  return {
    address: parseAddress(serverAddr),
    token: token === '' ? undefined : token,
    allowPlaintext,
    tls: isSecure ? { tlsCa, tlsCert, tlsKey, tlsServerName } : undefined,
  };
}

/**
 * The same for commands that people run, which speak only frames.
 *
 * @throws EncServerError `BAD_CONFIG` if the configured back end speaks another dialect
 */
export function framesCallOf(section: CallerSection): CallSettings {
  const dialect = 'dialect' in section ? section.dialect : 'frames';
  if (dialect === 'frames') return callOf(section);
  const words = `this command speaks frames, and the back end of the settings ${dialect}`;
  throw new EncServerError('BAD_CONFIG', words, { hint: 'see docs/INTEROP.md on what it knows' });
}
