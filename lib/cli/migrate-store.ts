/** `enc-server migrate store`: copies one back end's store into another's. */
import type { Command } from 'commander';
import type { BeClientOptions } from '../be/client.ts';
import { EXIT, type ExitCode } from '../errors.ts';
import { addTlsFlags, callFlags, linkOf, type TlsFlags } from './call-flags.ts';
import { addConfigFlag, address, given, type Plan } from './command-line.ts';
import { openProgress } from './progress.ts';
import { note, print, usage } from './terminal.ts';

interface StoreFlags extends TlsFlags {
  readonly config?: string;
  readonly from: string;
  readonly to: string;
  readonly fromTokenFile?: string;
  readonly toTokenFile?: string;
  readonly json?: boolean;
}

const SCHEME = 'be:';

export function addStoreCopy(command: Command, plan: Plan): void {
  const store = addConfigFlag(command.command('store'))
    .description("copy one back end's store into another's, and verify it; may be run again")
    .requiredOption('--from <address>', 'the back end that has the records, be:HOST:PORT', place)
    .requiredOption('--to <address>', 'the back end that gets them, be:HOST:PORT', place)
    .option('--from-token-file <path>', 'a file with the access token for the first', given)
    .option('--to-token-file <path>', 'a file with the access token for the second', given);
  addTlsFlags(store, ' of a front end', 'call both')
    .option('--json', 'print results and errors as JSON')
    .action((flags: StoreFlags) => {
      if (flags.from === flags.to) throw usage('--from and --to are the same back end');
      plan(() => copyStore(flags));
    });
}

async function copyStore(flags: StoreFlags): Promise<ExitCode> {
  const { StoreCopy } = await import('../be/copy.ts');
  const { from, to, fromTokenFile, toTokenFile } = flags;
  const copy = await StoreCopy.open(
    await optionsOf(flags, from, fromTokenFile),
    await optionsOf(flags, to, toTokenFile),
  );
  try {
    const copying = await openProgress();
    const copied = await copy.copy(copying.update).finally(copying.end);
    const verifying = await openProgress();
    const verified = await copy.verify(verifying.update).finally(verifying.end);
    const { same, different, targetItems, added, digest } = verified;
    if (flags.json) await print(`${JSON.stringify({ ...copied, ...verified })}\n`);
    else {
      await print(
        `copied ${copied.copied} items, ${copied.known} were there, ${copied.conflicts} conflicts\n` +
          `verified: ${same} the same, ${different} different; the target has ${targetItems}, ${added} of its own\n` +
          `sha256 ${digest}\n`,
      );
    }
    // Equal counts would ask too much: what ends meanwhile is counted on one side only.
    if (different + copied.conflicts + added === 0) return EXIT.done;
    note('they differ: stop what writes to either, and run it again');
    return EXIT.conflict;
  } finally {
    copy.close();
  }
}

async function optionsOf(
  flags: StoreFlags,
  server: string,
  tokenFile: string | undefined,
): Promise<BeClientOptions> {
  const { loadConfig } = await import('../config/load.ts');
  const beClientConfigs = await callFlags({ ...flags, server, tokenFile });
  const { config } = await loadConfig({ file: flags.config, flags: { beClientConfigs } });
  return linkOf(config.beClientConfigs);
}

/** Throws `USAGE`. */
function place(text: string): string {
  if (!text.startsWith(SCHEME)) throw usage(`no back end: ${text}`, 'write be:HOST:PORT');
  return address(text.slice(SCHEME.length));
}
