/** What a front end asks of its back end, whatever program that is. */
import type { Config } from '../config/load.ts';
import { callOf } from '../net/call-settings.ts';
import { BeClient, type KeyringFacts } from './client.ts';

export { noBackEnd } from './call.ts';

/** The part of {@link BeClient} that a front end uses. */
export type BackEnd = Pick<
  BeClient,
  | 'put'
  | 'get'
  | 'head'
  | 'remove'
  | 'scan'
  | 'connected'
  | 'lastError'
  | 'greet'
  | 'info'
  | 'close'
> & {
  /** Whether it supports conditions, expiry and pages, which the family's other programs do not. */
  readonly takesConditions: boolean;
};

export interface BackEndOptions {
  readonly section: Config['beClientConfigs'];
  /** The keyring that the connections are bound to. */
  readonly keyring: () => Promise<KeyringFacts>;
}

/** The configured back end, in its dialect; it connects by itself. */
export async function openBackEnd(options: BackEndOptions): Promise<BackEnd> {
  const { section, keyring } = options;
  const { dialect, timeoutMs, smallConnections, bulkConnections } = section;
  if (dialect !== 'frames') {
    const { openFamilyBackEnd } = await import('./family-back-end.ts');
    return await openFamilyBackEnd(dialect, callOf(section), timeoutMs);
  }
  return new BeClient({
    ...callOf(section),
    smallConnections,
    bulkConnections,
    timeoutMs,
    keyring,
    stayConnected: true,
    forOthers: true,
  });
}

/**
 * The keyring that the store was filled under, if any; asked on a connection bound to none. The
 * family's other programs have no keyring: undefined if one of them listens.
 */
export async function askKeyring(
  section: Config['beClientConfigs'],
): Promise<KeyringFacts | undefined> {
  const { dialect, timeoutMs } = section;
  if (dialect !== 'frames') {
    const { probeFamily } = await import('./family-back-end.ts');
    return await probeFamily(dialect, callOf(section), timeoutMs);
  }
  const client = new BeClient({ ...callOf(section), timeoutMs });
  try {
    return await client.askKeyring();
  } finally {
    client.close();
  }
}
