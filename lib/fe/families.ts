/** The metrics of a front end, besides those of its requests. */
import type { BeClient } from '../be/client.ts';
import { type Family, single } from '../metrics.ts';
import type { KeyringKeeper } from './keeper.ts';

export function keepingFamilies(
  { connected }: Pick<BeClient, 'connected'>,
  { keyring }: Pick<KeyringKeeper, 'keyring'>,
): Family[] {
  return [
    single(
      'gauge',
      'enc_server_ready',
      '1 while there are a keyring and a connection to the back end, else 0.',
      Number(connected && keyring !== undefined),
      'min',
    ),
    single(
      'gauge',
      'enc_server_keyring_epoch',
      'Epoch of the keyring; 0 while there is none.',
      keyring?.epoch ?? 0,
      'min',
    ),
  ];
}
