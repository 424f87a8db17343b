/** Whom a client calls, and how, from the settings of its section. */
import type { Config } from '../config/load.ts';
import { parseAddress } from './client.ts';
import type { Address } from './lane.ts';
import type { TlsClientFiles } from './tls-files.ts';

type CallerSection = Config['feClientConfigs'] | Config['beClientConfigs'];

export interface CallSettings {
  readonly address: Address;
  readonly token: string | undefined;
  /** Undefined where there is no TLS. */
  readonly tls: TlsClientFiles | undefined;
}

/** An authority or a certificate means TLS; without either, `tls` says so. */
export function callOf(section: CallerSection): CallSettings {
  const { serverAddr, token, tls, tlsCa, tlsCert, tlsKey, tlsServerName } = section;
  const isSecure = tls || tlsCa !== '' || tlsCert !== '';
  return {
    address: parseAddress(serverAddr),
    token: token === '' ? undefined : token,
    tls: isSecure ? { tlsCa, tlsCert, tlsKey, tlsServerName } : undefined,
  };
}
