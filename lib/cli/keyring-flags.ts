/** What commands that work with the keyring and the back end have in common. */
import type { Command } from 'commander';
import type { Config } from '../config/load.ts';
import type { KeyringJobOptions } from '../fe/keyring-job.ts';
import { callFlags } from './client-flags.ts';
import { addConfigFlag, address, given } from './command-line.ts';
import { note } from './terminal.ts';

export interface KeyringFlags {
  readonly config?: string;
  readonly keyring?: string;
  readonly dataDir?: string;
  readonly be?: string;
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly json?: boolean;
}

export function addKeyringFlags(command: Command): Command {
  return addConfigFlag(command)
    .option('--keyring <file>', 'the keyring (default: in the data folder)', given)
    .option('--data-dir <folder>', 'the data folder of the front end', given)
    .option('--be <address>', 'the back end, HOST:PORT', address)
    .option('--token-file <path>', 'a file with the access token of a front end', given)
    .option('--tls-ca <path>', 'call over TLS, trusting this authority (PEM)', given)
    .option('--tls-cert <path>', 'the client certificate of a front end (PEM)', given)
    .option('--tls-key <path>', 'the private key of the client certificate (PEM)', given)
    .option('--json', 'print results and errors as JSON');
}

/** The keyring, what opens it, and how its back end is called. `command` says who warns. */
export async function keyringSetting(
  flags: KeyringFlags,
  command: string,
): Promise<KeyringJobOptions> {
  const [{ framesCallOf }, { meansOf }] = await Promise.all([
    import('../net/call-settings.ts'),
    import('../fe/means.ts'),
  ]);
  const { beClientConfigs, feServerConfigs } = await configFor(flags, command);
  const link = { ...framesCallOf(beClientConfigs), timeoutMs: beClientConfigs.timeoutMs };
  return { path: feServerConfigs.keyring, link, means: meansOf(feServerConfigs) };
}

/** The configuration of the front end whose keyring it is. */
export async function configFor(flags: KeyringFlags, command: string): Promise<Config> {
  const { loadConfig } = await import('../config/load.ts');
  const { keyring, dataDir, be: server } = flags;
  const { config, warnings } = await loadConfig({
    file: flags.config,
    flags: {
      feServerConfigs: { keyring, dataDir },
      beClientConfigs: await callFlags({ ...flags, ...(server !== undefined && { server }) }),
    },
  });
  for (const words of warnings) note(`${command}: ${words}`);
  return config;
}
