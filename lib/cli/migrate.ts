/** `enc-server migrate`: imports what other servers have stored. */
import { EXIT, type ExitCode } from '../errors.ts';
import type { CallersKey } from '../fe/family-records.ts';
import type { EntryProblem, Migrated, Survey } from '../fe/migration.ts';
import { decodeHexKey } from '../protocol/hex.ts';
import { CommandGroup, given } from './command-line.ts';
import { linesOf, nameOf, parseLine } from './jsonl.ts';
import { addKeyringFlags, type KeyringFlags, keyringSetting } from './keyring-flags.ts';
import { addStoreCopy } from './migrate-store.ts';
import { openProgress } from './progress.ts';
import { note, print, usage } from './terminal.ts';

interface FromMongoFlags extends KeyringFlags {
  readonly familyConfig: string;
  readonly uri?: string;
  readonly db: string;
  readonly keys?: string;
  readonly dryRun?: boolean;
  readonly skip?: boolean;
}

interface FinishFlags extends KeyringFlags {
  readonly leave?: boolean;
}

const NAME = 'enc-server migrate';
/** The database in which all servers of the family keep their records. */
const FAMILY_DATABASE = 'enc-server-go';

export function runMigrate(argv: readonly string[]): Promise<ExitCode> {
  const group = new CommandGroup(NAME, 'Import what other servers have stored.');
  const { command, plan } = group;
  addKeyringFlags(command.command('from-mongo'))
    .description("move the records of the family's Go and Python servers; may be run again")
    .requiredOption('--family-config <path>', 'the configuration file of their front end', given)
    .option('--uri <uri>', 'their MongoDB (default: mongoURI of that file)', given)
    .option('--db <name>', 'the database', given, FAMILY_DATABASE)
    .option('--keys <path>', "IDs and keys of the Python servers' records (JSON lines)", given)
    .option('--dry-run', 'look at everything, and write nothing')
    .option('--skip', 'pass over documents that cannot be read')
    .action((flags: FromMongoFlags) => plan(() => fromMongo(flags)));
  addKeyringFlags(command.command('finish'))
    .description('end it: old keys no longer open records that were not retrieved since')
    .option('--leave', 'even if such records remain')
    .action((flags: FinishFlags) => plan(() => finish(flags)));
  addStoreCopy(command, plan);
  return group.run(argv);
}

async function fromMongo(flags: FromMongoFlags): Promise<ExitCode> {
  const { readFamilySettings } = await import('../config/family-file.ts');
  const { FamilyRecords } = await import('../fe/family-records.ts');
  const { Migration } = await import('../fe/migration.ts');
  const { openFamilySource } = await import('../store/mongo-family.ts');
  const { idKey, idNonce, mongoURI } = await readFamilySettings(flags.familyConfig);
  const uri = flags.uri ?? mongoURI;
  if (uri === undefined) throw usage('which MongoDB? the file names none', 'add --uri');
  const keys = flags.keys === undefined ? [] : await readCallersKeys(flags.keys);
  const records = new FamilyRecords({ key: idKey, nonce: idNonce }, keys);
  const migration = new Migration(await keyringSetting(flags, NAME));
  const source = await openFamilySource(uri, flags.db);
  const { update: told, end } = await openProgress();
  try {
    if (flags.dryRun) {
      return await tellSurvey(await migration.survey(source, records, told).finally(end), flags);
    }
    const done = await migration.run(source, records, flags.skip ?? false, told).finally(end);
    return await tellMigrated(done, flags);
  } finally {
    await source.close();
  }
}

async function tellSurvey(survey: Survey, { json }: FromMongoFlags): Promise<ExitCode> {
  const { documents, go, python, unreadable, conflicts, problems, duplicates } = survey;
  const words = `${documents} documents: ${go} of Go, ${python} of Python, ${unreadable} unreadable, ${conflicts} conflicts`;
  await print(json ? `${JSON.stringify(survey)}\n` : `${words}; nothing was written\n`);
  tellProblems(problems);
  tellProblems(duplicates);
  if (unreadable > 0) return EXIT.wrongKey;
  return conflicts === 0 ? EXIT.done : EXIT.conflict;
}

async function tellMigrated(migrated: Migrated, { json }: FromMongoFlags): Promise<ExitCode> {
  const { moved, known, conflicts, skipped } = migrated.counts;
  const words = `moved ${moved} records, ${known} were here, ${conflicts} conflicts, ${skipped} skipped`;
  await print(json ? `${JSON.stringify(migrated)}\n` : `${words}\n`);
  tellProblems(migrated.conflicts);
  note('back the keyring up; once old keys have done their work: enc-server migrate finish');
  return conflicts === 0 ? EXIT.done : EXIT.conflict;
}

function tellProblems(problems: readonly EntryProblem[]): void {
  for (const { position, code } of problems) note(`${code} _id ${position}`);
}

async function finish(flags: FinishFlags): Promise<ExitCode> {
  const { Migration } = await import('../fe/migration.ts');
  const left = await new Migration(await keyringSetting(flags, NAME)).finish(flags.leave ?? false);
  if (flags.json) await print(`${JSON.stringify({ left })}\n`);
  else await print(`finished; ${left} records were left, and open no more\n`);
  return EXIT.done;
}

/** Lines of `id` or `id64`, and `key` in digits; errors about a line never quote its key. */
async function readCallersKeys(path: string): Promise<CallersKey[]> {
  const keys: CallersKey[] = [];
  for await (const { text } of linesOf(path)) {
    const members = parseLine(text);
    if (members['key'] === undefined) continue;
    const { id } = nameOf(members);
    keys.push({ id, key: decodeHexKey(Buffer.from(String(members['key']), 'latin1')) });
  }
  return keys;
}
