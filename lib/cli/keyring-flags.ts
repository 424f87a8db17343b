/** What commands that work with the keyring and the back end share. */
import type { Command } from 'commander';
import type { Config } from '../config/load.ts';
import type { KeyringJobOptions } from '../fe/keyring-job.ts';
import { addTlsFlags, callFlags, linkOf, type TlsFlags } from './call-flags.ts';
import { addConfigFlag, address, given, loadFor } from './command-line.ts';

export interface KeyringFlags extends TlsFlags {
  readonly config?: string;
  readonly keyring?: string;
  readonly dataDir?: string;
  readonly be?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

export function addKeyringFlags(command: Command): Command {
  addConfigFlag(command)
    .option('--keyring <file>', 'the keyring (default: in the data folder)', given)
    .option('--data-dir <folder>', 'the data folder of the front end', given)
    .option('--be <address>', 'the back end, HOST:PORT', address)
    .option('--token-file <path>', 'a file with the access token of a front end', given);
  return addTlsFlags(command, ' of a front end').option(
    '--json',
    'print results and errors as JSON',
  );
}

/** The keyring, the means to open it, and how to call its back end. `command` is for warnings. */
export async function keyringSetting(
  flags: KeyringFlags,
  command: string,
): Promise<KeyringJobOptions> {
  const { meansOf } = await import('../fe/means.ts');
  const { beClientConfigs, feServerConfigs } = await configFor(flags, command);
  const { keyring: path } = feServerConfigs;
  return { path, link: linkOf(beClientConfigs), means: meansOf(feServerConfigs) };
}

/** The configuration of the front end that the keyring belongs to. */
export async function configFor(flags: KeyringFlags, command: string): Promise<Config> {
  const { config: file, keyring, dataDir, be: server } = flags;
  return await loadFor(command, {
    file,
    flags: {
      feServerConfigs: { keyring, dataDir },
      beClientConfigs: await callFlags({ ...flags, server }),
    },
  });
}
