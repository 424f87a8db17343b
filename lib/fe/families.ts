/** The metrics of a front end, besides those of its requests. */
import { type AuditFacts, auditLack } from '../audit/facts.ts';
import type { BeClient } from '../be/client.ts';
import { type Family, single } from '../metrics.ts';
import type { KeyringKeeper } from './keeper.ts';

export function keepingFamilies(
  { connected }: Pick<BeClient, 'connected'>,
  { keyring }: Pick<KeyringKeeper, 'keyring'>,
  audit: AuditFacts | undefined,
): Family[] {
  const isReady = connected && keyring !== undefined && auditLack(audit) === undefined;
  return [
    single(
      'gauge',
      'enc_server_ready',
      '1 with a keyring, the back end and, if it is closed, a working audit log; else 0.',
      Number(isReady),
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
