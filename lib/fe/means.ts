/** What opens a keyring, from the settings of a front end. */
import type { Config } from '../config/load.ts';
import type { KeyringMeans } from '../crypto/keyring.ts';

/** For an answer of the key service, in milliseconds. */
const TIMEOUT_MS = 5_000;

export function meansOf(section: Config['feServerConfigs']): KeyringMeans {
  const { keyringPassphrase, keyringTransitUrl: url } = section;
  const { keyringTransitKey: key, keyringTransitToken: token, keyringTransitCa: ca } = section;
  return {
    passphrase: keyringPassphrase === '' ? undefined : Buffer.from(keyringPassphrase, 'utf8'),
    transit: url === '' ? undefined : { url, key, token, ca, timeoutMs: TIMEOUT_MS },
  };
}
