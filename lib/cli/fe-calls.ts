/** What all subcommands of `fe-client` share. */
import type { Command } from 'commander';
import { checkName } from '../crypto/record-name.ts';
import { FeClient } from '../fe/client.ts';
import type { ClientSetting } from './client-flags.ts';
import { checkUtf8 } from './command-line.ts';

export interface NameFlags {
  readonly id: string;
  readonly namespace?: string;
}

export function addNamespaceFlag(command: Command): Command {
  return command.option('--namespace <name>', 'the namespace of the ID, at most 255 bytes');
}

export function checkNameFlags(flags: NameFlags): void {
  checkUtf8('--id', flags.id, 'other bytes are taken by the client library');
  checkUtf8('--namespace', flags.namespace, 'other bytes are taken by the client library');
  checkName({ id: Buffer.from(flags.id), namespace: Buffer.from(flags.namespace ?? '') });
}

export function namespaceOf(flags: Pick<NameFlags, 'namespace'>): { namespace?: string } {
  return flags.namespace === undefined ? {} : { namespace: flags.namespace };
}

export function clientFor(setting: ClientSetting): FeClient {
  const { address, token, tls, timeoutMs, frameBytesMax } = setting;
  return new FeClient({ address, token, tls, timeoutMs, frameBytesMax });
}

export async function withClient<T>(
  setting: ClientSetting,
  use: (client: FeClient) => Promise<T>,
): Promise<T> {
  const client = clientFor(setting);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}
