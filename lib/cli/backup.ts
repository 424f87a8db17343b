/** `enc-server backup`: makes, verifies and restores backups of a back end's store. */
import { randomBytes } from 'node:crypto';
import { open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import type { BackupSecret } from '../backup/keys.ts';
import type { BeClientOptions } from '../be/client.ts';
import { syncFolder } from '../durable-file.ts';
import { codeOf, EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { KEY_BYTES } from '../protocol/limits.ts';
import { refuseOthers } from '../secret-file.ts';
import { addTlsFlags, callFlags, linkOf, type TlsFlags } from './call-flags.ts';
import { addConfigFlag, address, CommandGroup, given, loadFor } from './command-line.ts';
import { openProgress } from './progress.ts';
import { readKey, writeKeyFile } from './record-io.ts';
import { requireRegularFile } from './regular-file.ts';
import { readSecretText } from './secret-text.ts';
import { removeAtSignal } from './signals.ts';
import { note, print, usage } from './terminal.ts';

interface SecretFlags {
  readonly keyFile?: string;
  readonly passphraseFile?: string;
  readonly json?: boolean;
}

interface LinkFlags extends SecretFlags, TlsFlags {
  readonly config?: string;
  readonly be?: string;
  readonly tokenFile?: string;
}

interface CreateFlags extends LinkFlags {
  readonly out: string;
  readonly force?: boolean;
}

interface RestoreFlags extends LinkFlags {
  readonly overwrite?: boolean;
}

const NAME = 'enc-server backup';
/** Of the name that a file has until it is whole. */
const ASIDE_BYTES = 8;

export function runBackup(argv: readonly string[]): Promise<ExitCode> {
  const group = new CommandGroup(NAME, "Back up a back end's store while it runs, and restore it.");
  const { command, plan } = group;
  command
    .command('key')
    .description('make a backup key: whoever has it can read every backup made with it')
    .requiredOption('--out <path>', 'a new file for it (0600)', given)
    .action(({ out }: { readonly out: string }) => plan(() => makeKey(out)));
  addLinkFlags(command.command('create'))
    .description('make a backup of everything that is stored; the keyring is not in it')
    .requiredOption('--out <path>', 'the file of the backup', given)
    .option('--force', 'replace the file if it is there')
    .action((flags: CreateFlags) => {
      checkSecret(flags);
      plan(() => create(flags));
    });
  addSecretFlags(command.command('verify <file>'))
    .description('read a backup to its end, without a server')
    .action((path: string, flags: SecretFlags) => {
      checkSecret(flags);
      plan(() => verify(path, flags));
    });
  addLinkFlags(command.command('restore <file>'))
    .description('restore a backup into an empty store')
    .option('--overwrite', 'also into a store that is not empty, replacing what is there')
    .action((path: string, flags: RestoreFlags) => {
      checkSecret(flags);
      plan(() => restore(path, flags));
    });
  return group.run(withCommand(argv));
}

/** `enc-server backup --out FILE` makes a backup. */
function withCommand(argv: readonly string[]): readonly string[] {
  const [first = ''] = argv;
  const isAbout = ['-h', '--help', '-V', '--version'].includes(first);
  return first.startsWith('-') && !isAbout ? ['create', ...argv] : argv;
}

function addSecretFlags(command: Command): Command {
  return command
    .option('--key-file <path>', 'the backup key', given)
    .option('--passphrase-file <path>', 'a passphrase instead; - for standard input', given)
    .option('--json', 'print results and errors as JSON');
}

function addLinkFlags(command: Command): Command {
  addSecretFlags(addConfigFlag(command))
    .option('--be <address>', 'the back end, HOST:PORT', address)
    .option('--token-file <path>', 'a file with an access token of the scope admin', given);
  return addTlsFlags(command, ' of an operator');
}

async function makeKey(out: string): Promise<ExitCode> {
  await writeKeyFile(out, randomBytes(KEY_BYTES));
  note('keep it apart from the backups, and not on this machine alone');
  return EXIT.done;
}

async function create(flags: CreateFlags): Promise<ExitCode> {
  const { writeBackup } = await import('../backup/write.ts');
  const [link, secret] = [await linkFor(flags), await secretOf(flags)];
  const aside = await openAside(flags);
  const progress = await openProgress();
  try {
    const written = await writeBackup(link, secret, aside.write, progress.update);
    await aside.keep();
    const { items, bytes, digest, header } = written;
    const words = `backed up ${items} items, ${bytes} bytes\nsha256 ${digest}\n`;
    await print(flags.json ? `${JSON.stringify(written)}\n` : words);
    if (!header.isOneMoment)
      note(`${header.store}: each item is whole, and they may not be of one moment`);
    note('the keyring is not in it: back it up, too, and keep it apart');
    return EXIT.done;
  } finally {
    progress.end();
    await aside.drop();
  }
}

/**
 * The file gets its name once it is complete and on disk. Until then it has a name of its own: two
 * backups to one `--out` do not write into each other, nor into what a link there points to.
 */
async function openAside({ out, force }: CreateFlags) {
  // Checked before anything is requested.
  if (force !== true) await refuseExisting(out);
  const path = `${out}.${randomBytes(ASIDE_BYTES).toString('hex')}.part`;
  const stopCleaning = removeAtSignal(path);
  const file = await open(path, 'wx', 0o600).catch((cause) => {
    stopCleaning();
    throw fileError('cannot write', path, cause);
  });
  let isKept = false;
  return {
    async write(bytes: Buffer): Promise<void> {
      await file.appendFile(bytes).catch((cause) => {
        throw fileError('cannot write', path, cause);
      });
    },
    async keep(): Promise<void> {
      try {
        await file.sync();
        if (force !== true) await refuseExisting(out);
        await rename(path, out);
        await syncFolder(dirname(out));
        isKept = true;
      } catch (cause) {
        if (cause instanceof EncServerError) throw cause;
        throw fileError('cannot write', out, cause);
      }
    },
    async drop(): Promise<void> {
      await file.close();
      stopCleaning();
      if (!isKept) await unlink(path).catch(() => undefined);
    },
  };
}

async function refuseExisting(out: string): Promise<void> {
  const file = await open(out, 'r').catch(() => undefined);
  if (file === undefined) return;
  await file.close();
  throw new EncServerError('FILE_ERROR', `${out} is there already`, {
    hint: 'choose another name, or add --force',
  });
}

async function verify(path: string, flags: SecretFlags): Promise<ExitCode> {
  const { verifyBackup } = await import('../backup/read.ts');
  const secret = await secretOf(flags);
  const progress = await openProgress();
  const verified = await verifyBackup(path, secret, progress.update).finally(progress.end);
  const { items, ended, digest, header } = verified;
  const when = new Date(header.madeAtMs).toISOString();
  const words =
    `whole: ${items} items, ${ended} of them ended since; made ${when} of ${header.store}\n` +
    `keyring ${header.keyring ?? 'none'}, epoch ${header.epoch ?? 0}\nsha256 ${digest}\n`;
  await print(flags.json ? `${JSON.stringify(verified)}\n` : words);
  return EXIT.done;
}

async function restore(path: string, flags: RestoreFlags): Promise<ExitCode> {
  await requireRegularFile(path, 'it is read twice: write what the pipe brings to a file first');
  const { restoreBackup } = await import('../backup/read.ts');
  const [link, secret] = [await linkFor(flags), await secretOf(flags)];
  const { overwrite = false } = flags;
  const progress = await openProgress();
  const restoring = restoreBackup(path, secret, link, overwrite, progress.update);
  const { restored, ended } = await restoring.finally(progress.end);
  const words = `restored ${restored} items, ${ended} had ended\n`;
  await print(flags.json ? `${JSON.stringify({ restored, ended })}\n` : words);
  note('records that were deleted, or read once, since the backup was made are back');
  return EXIT.done;
}

/** Throws `USAGE`. */
function checkSecret({ keyFile, passphraseFile }: SecretFlags): void {
  if ((keyFile === undefined) === (passphraseFile === undefined)) {
    throw usage('what seals the backup?', 'give --key-file or --passphrase-file, one of them');
  }
}

async function secretOf({ keyFile = '', passphraseFile }: SecretFlags): Promise<BackupSecret> {
  if (passphraseFile !== undefined) {
    return { kind: 'passphrase', passphrase: await readSecretText(passphraseFile) };
  }
  return { kind: 'key', key: await readBackupKey(keyFile) };
}

/** Rejects with `INVALID_KEY`, or `FILE_ERROR`, also if others than its owner may use the file. */
async function readBackupKey(path: string): Promise<Buffer> {
  // Where there is no such file, reading it says so; a pipe or a device has no mode to mend.
  const known = await stat(path).catch(() => undefined);
  if (known?.isFile()) refuseOthers(path, known);
  const key = await readKey({ keyFile: path }).catch((thrown: unknown) => {
    if (codeOf(thrown) !== 'INVALID_KEY') throw thrown;
  });
  if (key?.length === KEY_BYTES) return key;
  throw new EncServerError('INVALID_KEY', `${path} is no backup key`, {
    hint: 'it has 64 hexadecimal digits; enc-server backup key makes one',
  });
}

async function linkFor(flags: LinkFlags): Promise<BeClientOptions> {
  const { config: file, be: server } = flags;
  const beClientConfigs = await callFlags({ ...flags, server });
  return linkOf((await loadFor(NAME, { file, flags: { beClientConfigs } })).beClientConfigs);
}
