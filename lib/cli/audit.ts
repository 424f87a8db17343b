/** `enc-server audit`: makes the keys of an audit log, verifies one, and names a record in it. */
import { readFile } from 'node:fs/promises';
import type { SignedCheckpoint } from '../audit/checkpoint.ts';
import type { Verified } from '../audit/verify.ts';
import { EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { CommandGroup, checkUtf8, given } from './command-line.ts';
import { note, print } from './terminal.ts';

interface InitFlags {
  readonly keyFile: string;
  readonly verificationKey: string;
  readonly publicKey?: string;
}

interface VerifyFlags {
  readonly log: string;
  readonly key: string;
  readonly checkpoint?: string;
  readonly publicKey?: string;
  readonly state?: string;
  readonly json?: boolean;
}

interface NameFlags {
  readonly keyFile: string;
  readonly id: string;
  readonly namespace?: string;
}

export function runAudit(argv: readonly string[]): Promise<ExitCode> {
  const about = 'Makes the keys of an audit log, and verifies one; see docs/AUDIT.md.';
  const group = new CommandGroup('enc-server audit', about);
  const { command, plan } = group;
  command
    .command('init')
    .description('make the keys of a new audit log; one for each server')
    .requiredOption('--key-file <path>', 'for the server (auditKeyFile); a new file', given)
    .requiredOption('--verification-key <path>', 'for the auditor: move it away', given)
    .option('--public-key <path>', 'of the checkpoints (default: beside the last)', given)
    .action((flags: InitFlags) => plan(() => init(flags)));
  command
    .command('verify')
    .description('verify an audit log; exit code 4 if it was changed')
    .requiredOption('--log <path>', 'the log; the files put aside are found beside it', given)
    .requiredOption('--key <path>', 'its verification key', given)
    .option('--checkpoint <path>', 'its checkpoints, from wherever they were kept', given)
    .option('--public-key <path>', "the checkpoints' (default: in the verification key)", given)
    .option('--state <path>', 'the state that its server has (auditKeyFile with .state)', given)
    .option('--json', 'print the findings and errors as JSON')
    .action((flags: VerifyFlags) => plan(() => verify(flags)));
  command
    .command('name')
    .description("print what a record is called in a front end's audit log")
    .requiredOption('--key-file <path>', "the server's key (auditKeyFile)", given)
    .requiredOption('--id <text>', 'the ID of the record', given)
    .option('--namespace <text>', 'its namespace (default: the one without a name)', given)
    .action((flags: NameFlags) => {
      checkUtf8('--id', flags.id, 'such an ID cannot be looked for here');
      plan(() => name(flags));
    });
  return group.run(argv);
}

async function init(flags: InitFlags): Promise<ExitCode> {
  const { initAudit, stateFileOf } = await import('../audit/key-files.ts');
  const { keyFile, verificationKey, publicKey = `${verificationKey}.pub` } = flags;
  const files = { keyFile, verificationKeyFile: verificationKey, publicKeyFile: publicKey };
  const log = await initAudit(files);
  await print(`${log}\n`);
  note(`${keyFile}: the key, for auditKeyFile; its state is ${stateFileOf(keyFile)}`);
  note(`${verificationKey}: move it off this machine before the server starts; who has it can`);
  note('  prove the log, and forge it');
  note(`${publicKey}: proves checkpoints; give it to whoever keeps them`);
  return EXIT.done;
}

async function verify(flags: VerifyFlags): Promise<ExitCode> {
  const { readPublicKeyFile, readVerificationKey } = await import('../audit/key-files.ts');
  const { filesOf } = await import('../audit/log-files.ts');
  const { readState } = await import('../audit/state-file.ts');
  const { verifyLog } = await import('../audit/verify.ts');
  const { checkpoint, publicKey, state } = flags;
  const key = await readVerificationKey(flags.key);
  const paths = (await filesOf(flags.log)).map(({ path }) => path);
  if (paths.length === 0) throw new EncServerError('FILE_ERROR', `there is no log ${flags.log}`);
  const verified = await verifyLog({
    paths,
    key,
    checkpoints: checkpoint === undefined ? [] : await readCheckpoints(checkpoint),
    ...(publicKey !== undefined && { publicKey: await readPublicKeyFile(publicKey) }),
    expected: state === undefined ? undefined : await readState(state),
  });
  await print(flags.json ? `${JSON.stringify({ ...verified, paths })}\n` : report(verified));
  if (verified.findings.length > 0) return EXIT.wrongKey;
  if (verified.vouched < verified.count) note(unvouched(verified));
  return EXIT.done;
}

function report({ findings, count, torn, lost, head }: Verified): string {
  const rows = findings.map(({ kind, path, lineNumber, what }) => {
    const where = path === undefined ? '' : `${path}:${lineNumber}: `;
    return `${where}${kind}: ${what}`;
  });
  const facts = [
    ...(torn > 0 ? [`${torn} torn by crashes, and marked so`] : []),
    ...(lost > 0 ? [`${lost} lost by its own account`] : []),
  ];
  const told = facts.length > 0 ? ` (${facts.join('; ')})` : '';
  const verdict = findings.length === 0 ? 'it holds' : `it does not hold: ${findings.length} found`;
  return `${[...rows, `${count} lines${told}, head ${head}: ${verdict}`].join('\n')}\n`;
}

function unvouched({ count, vouched }: Verified): string {
  const which = vouched === 0 ? '' : ` after number ${vouched - 1}`;
  return (
    `nothing says how many lines there must be${which}: a cut behind number ${count - 1} ` +
    'would not be seen; give --checkpoint or --state'
  );
}

async function readCheckpoints(path: string): Promise<SignedCheckpoint[]> {
  const { parseCheckpoint } = await import('../audit/checkpoint.ts');
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw fileError('cannot read', path, thrown);
  });
  // A line torn by a crash is not a checkpoint; each checkpoint stands for itself.
  const checkpoints = text.split('\n').map(parseCheckpoint);
  const found = checkpoints.filter((one) => one !== undefined);
  if (found.length > 0) return found;
  throw new EncServerError('FILE_ERROR', `there is no checkpoint in ${path}`);
}

async function name({ keyFile, id, namespace = '' }: NameFlags): Promise<ExitCode> {
  const { readAuditKey } = await import('../audit/key-files.ts');
  const { pseudonymOf } = await import('../audit/names.ts');
  const { checkName, encodeName, nameBytes } = await import('../crypto/record-name.ts');
  const record = { namespace: Buffer.from(namespace), id: Buffer.from(id) };
  checkName(record);
  const bytes = Buffer.alloc(nameBytes(record));
  encodeName(bytes, 0, record);
  const { nameKey } = await readAuditKey(keyFile);
  await print(`${pseudonymOf(nameKey, bytes)}\n`);
  return EXIT.done;
}
