/** `enc-server keys list`, `add`, `activate`, `rewrap`, `retire`: the life of the keyring. */
import type { Command } from 'commander';
import { parseDurationMs } from '../config/quantity.ts';
import type { Keyring, KeyringEntry, ProviderKind } from '../crypto/keyring.ts';
import { EXIT, type ExitCode } from '../errors.ts';
import type { Rotation } from '../fe/rotation.ts';
import { duration, given, type Plan } from './command-line.ts';
import { addKeyringFlags, configFor, type KeyringFlags, keyringSetting } from './keyring-flags.ts';
import { openProgress } from './progress.ts';
import { readSettingText } from './secret-text.ts';
import { firstSignal } from './signals.ts';
import { table } from './table.ts';
import { note, print, usage } from './terminal.ts';

type LifeFlags = KeyringFlags;

interface ActivateFlags extends LifeFlags {
  readonly wait: string;
}

interface ProviderFlags extends LifeFlags {
  readonly newPassphraseFile?: string;
}

interface RewrapFlags extends LifeFlags {
  readonly rate?: string;
}

const RATE_MAX = 1_000_000;
const FAILED_SHOWN_MAX = 20;

export function addLifeCommands(command: Command, plan: Plan): void {
  addKeyringFlags(command.command('list'))
    .description('show the entries of the keyring, never their secrets')
    .action((flags: LifeFlags) => plan(() => list(flags)));
  addKeyringFlags(command.command('add'))
    .description('begin a rotation: add a fresh entry, which nobody uses yet')
    .action((flags: LifeFlags) => plan(() => add(flags)));
  addKeyringFlags(command.command('activate'))
    .description('write under the added entry, once every connected front end knows it')
    .option('--wait <time>', 'how long to wait for front ends', duration, '30s')
    .action((flags: ActivateFlags) => plan(() => activate(flags)));
  addKeyringFlags(command.command('rewrap'))
    .description('move the records under the active entry; may be interrupted and run again')
    .option('--rate <number>', 'records a second at the most (default: no bound)')
    .action((flags: RewrapFlags) => {
      const ratePerSecond = rateOf(flags.rate);
      plan(() => rewrap(flags, ratePerSecond));
    });
  addKeyringFlags(command.command('retire'))
    .description('end the rotation: the old entry is no longer used; refused while records remain')
    .action((flags: LifeFlags) => plan(() => retire(flags)));
  addKeyringFlags(command.command('provider <kind>'))
    .description('change who seals the secrets of the keyring: file, passphrase or transit')
    .option('--new-passphrase-file <path>', 'the new passphrase; - for standard input', given)
    .action((word: string, flags: ProviderFlags) => {
      const kind = kindFrom(word);
      plan(() => provider(flags, kind));
    });
}

/** Changes only how the secrets are sealed in the file; no back end is asked. */
async function provider(flags: ProviderFlags, kind: ProviderKind): Promise<ExitCode> {
  const { changeProvider } = await import('../crypto/keyring.ts');
  const { meansOf } = await import('../fe/means.ts');
  const { feServerConfigs } = await configFor(flags, 'enc-server keys');
  const means = meansOf(feServerConfigs);
  const { newPassphraseFile: path } = flags;
  const newMeans =
    path === undefined ? means : { ...means, passphrase: await readSettingText(path) };
  const keyring = await changeProvider(feServerConfigs.keyring, means, kind, newMeans);
  note(`the secrets of the keyring are ${SEALED_BY[kind]}; back it up`);
  return await tell(keyring, flags);
}

const SEALED_BY: Readonly<Record<ProviderKind, string>> = {
  file: 'in its file as they are',
  passphrase: 'sealed by the passphrase: set it for every front end (keyringPassphrase)',
  transit: 'sealed by the key service: set it for every front end (keyringTransitUrl)',
};

function kindFrom(word: string): ProviderKind {
  const kind = (Object.keys(SEALED_BY) as ProviderKind[]).find((one) => one === word);
  if (kind !== undefined) return kind;
  throw usage('no such provider', `choose from ${Object.keys(SEALED_BY).join(', ')}`);
}

async function list(flags: LifeFlags): Promise<ExitCode> {
  const keyring = await (await openRotation(flags)).read();
  if (flags.json) return await printJson(describe(keyring));
  const rows = [
    ...rowsOf('pseudonyms', keyring.entries),
    ...rowsOf('kept keys', keyring.wrapEntries),
  ];
  await print(`keyring ${keyring.keyringId.toString('hex')}, epoch ${keyring.epoch}\n`);
  await print(table(['SECRET OF', 'NUMBER', 'STATE'], rows));
  return EXIT.done;
}

async function add(flags: LifeFlags): Promise<ExitCode> {
  const keyring = await (await openRotation(flags)).add();
  note('next: give the file to every front end, back it up, then enc-server keys activate');
  return await tell(keyring, flags);
}

async function activate(flags: ActivateFlags): Promise<ExitCode> {
  const rotation = await openRotation(flags);
  let told = 0;
  const keyring = await rotation.activate(parseDurationMs(flags.wait) ?? 0, (connections) => {
    if (connections !== told) note(`waiting for ${connections} connections of front ends`);
    told = connections;
  });
  note('next: enc-server keys rewrap');
  return await tell(keyring, flags);
}

async function rewrap(flags: RewrapFlags, ratePerSecond: number | undefined): Promise<ExitCode> {
  const rotation = await openRotation(flags);
  const stopping = new AbortController();
  void firstSignal(() => process.exit(EXIT.internal)).then(() => stopping.abort());
  const { update: progress, end } = await openProgress();
  const { signal } = stopping;
  const rewrapping = rotation.rewrap({ ratePerSecond, progress, signal });
  const { moved, failed, damagedKeys } = await rewrapping.finally(end);
  const isWhole = failed.length === 0 && !signal.aborted;
  if (flags.json) await printJson({ moved, failed, damagedKeys, complete: isWhole });
  else await print(`moved ${moved} records, ${failed.length} failed\n`);
  for (const { storeKey, code } of failed.slice(0, FAILED_SHOWN_MAX)) {
    note(`${code} ${storeKey}`);
  }
  noteDamagedKeys(damagedKeys);
  if (signal.aborted) note('stopped; run it again to go on');
  else if (isWhole) note('next: enc-server keys retire');
  if (failed.length > 0 || damagedKeys.length > 0) return EXIT.wrongKey;
  return signal.aborted ? EXIT.internal : EXIT.done;
}

async function retire(flags: LifeFlags): Promise<ExitCode> {
  const damagedKeys: string[] = [];
  const rotation = await openRotation(flags);
  const keyring = await rotation.retire((storeKey) => damagedKeys.push(storeKey));
  noteDamagedKeys(damagedKeys);
  note('back the keyring up; older copies of it are refused from now on');
  return await tell(keyring, flags);
}

/** Such records are in the way of nothing, so only words tell of them. */
function noteDamagedKeys(damagedKeys: readonly string[]): void {
  if (damagedKeys.length === 0) return;
  note(`${damagedKeys.length} kept keys are damaged, and stay wrapped under an earlier entry:`);
  for (const storeKey of damagedKeys.slice(0, FAILED_SHOWN_MAX)) note(`ALTERED ${storeKey}`);
}

async function tell(keyring: Keyring, { json }: LifeFlags): Promise<ExitCode> {
  if (json) return await printJson(describe(keyring));
  const entries = keyring.entries.map(({ number, state }) => `${number} ${state}`).join(', ');
  await print(`epoch ${keyring.epoch}: ${entries}\n`);
  return EXIT.done;
}

async function printJson(value: unknown): Promise<ExitCode> {
  await print(`${JSON.stringify(value)}\n`);
  return EXIT.done;
}

function describe({ keyringId, epoch, entries, wrapEntries }: Keyring) {
  const shown = ({ number, state }: KeyringEntry) => ({ number, state });
  return {
    keyring: keyringId.toString('hex'),
    epoch,
    entries: entries.map(shown),
    wrapEntries: wrapEntries.map(shown),
  };
}

function rowsOf(kind: string, entries: readonly KeyringEntry[]): string[][] {
  return entries.map(({ number, state }) => [kind, String(number), state]);
}

/** Loaded when needed: help and mistakes on the command line do not need it. */
async function openRotation(flags: LifeFlags): Promise<Rotation> {
  const { Rotation } = await import('../fe/rotation.ts');
  return new Rotation(await keyringSetting(flags, 'enc-server keys'));
}

function rateOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const rate = Number(text);
  if (/^\d{1,7}$/.test(text) && rate >= 1 && rate <= RATE_MAX) return rate;
  throw usage(`--rate is a whole number from 1 to ${RATE_MAX}`);
}
