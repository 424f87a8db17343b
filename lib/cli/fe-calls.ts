/** What all subcommands of `fe-client` share. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { checkName } from '../crypto/record-name.ts';
import { type BatchAnswer, type BatchRequest, FeClient } from '../fe/client.ts';
import type { ClientSetting } from './client-flags.ts';
import { checkUtf8 } from './command-line.ts';

/** How many times an item is sent that the server did not execute because it was overloaded. */
const TRIES_MAX = 6;
const PAUSE_MS = 250;

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
  const { address, token, allowPlaintext, tls, timeoutMs } = setting;
  return new FeClient({ address, token, allowPlaintext, tls, timeoutMs });
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

/** Sends a batch, and repeats what the server had no room for. `done` gets an answer for each. */
export async function sendBatch<T>(
  client: FeClient,
  items: readonly T[],
  requestOf: (item: T) => BatchRequest,
  done: (item: T, answer: BatchAnswer) => Promise<void>,
): Promise<void> {
  let open = items;
  for (let tries = 1; open.length > 0; tries++) {
    const answers = await client.batch(open.map(requestOf));
    const again: T[] = [];
    for (const [index, item] of open.entries()) {
      const answer = answers[index] as BatchAnswer;
      if (answer.error?.row.retry === 'always' && tries < TRIES_MAX) again.push(item);
      else await done(item, answer);
    }
    open = again;
    if (open.length > 0) await sleep(PAUSE_MS * tries);
  }
}
