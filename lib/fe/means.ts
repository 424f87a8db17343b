/** The means to open a keyring, from the settings of a front end. */
import type { Config } from '../config/load.ts';
import type { KeyringMeans } from '../crypto/keyring.ts';
import { EncServerError } from '../errors.ts';
import { isLoopback } from '../net/host-policy.ts';

/** Time for the key service to answer, in milliseconds. */
const TIMEOUT_MS = 5_000;

/** @throws EncServerError `BAD_CONFIG` if the key service would be called in the clear */
export function meansOf(section: Config['feServerConfigs']): KeyringMeans {
  const { keyringPassphrase, keyringTransitUrl: url } = section;
  const { keyringTransitKey: key, keyringTransitToken: token, keyringTransitCa: ca } = section;
  checkUrl(url);
  return {
    passphrase: keyringPassphrase === '' ? undefined : Buffer.from(keyringPassphrase, 'utf8'),
    transit: url === '' ? undefined : { url, key, token, ca, timeoutMs: TIMEOUT_MS },
  };
}

/** The token, and a key that opens the keyring, travel over this connection. */
function checkUrl(url: string): void {
  if (url === '') return;
  if (!URL.canParse(url)) throw new EncServerError('BAD_CONFIG', 'keyringTransitUrl is no URL');
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) return;
  const words = 'keyringTransitUrl is neither https nor on this machine';
  const hint = 'the token, and the key that opens the keyring, would travel in the clear';
  throw new EncServerError('BAD_CONFIG', words, { hint });
}
