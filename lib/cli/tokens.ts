/** `enc-server tokens`: makes, lists and revokes access tokens. Servers notice within a second. */
import type { Command } from 'commander';
import { SCOPES, type Scope } from '../access.ts';
import { drawToken, isTokenId } from '../auth/token.ts';
import {
  changeTokens,
  NOTE_CHARACTERS_MAX,
  readTokens,
  type TokenEntry,
} from '../auth/token-file.ts';
import { nearest } from '../config/nearest.ts';
import { parseDurationMs } from '../config/quantity.ts';
import { EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { NAMESPACE_BYTES_MAX } from '../protocol/limits.ts';
import { addConfigFlag, CommandGroup, checkUtf8, given } from './command-line.ts';
import { removeKeyFile, writeNewFile } from './record-io.ts';
import { table } from './table.ts';
import { deliver, note, print, usage } from './terminal.ts';

interface SharedFlags {
  readonly config?: string;
  readonly be?: boolean;
  readonly tokens?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

interface CreateFlags extends SharedFlags {
  readonly scopes: string;
  readonly namespace?: string;
  readonly expires?: string;
  readonly note?: string;
  readonly out?: string;
}

const EXPIRES_MS_MAX = 100 * 365 * 86_400_000;

export function runTokens(argv: readonly string[]): Promise<ExitCode> {
  const about = 'Makes, lists and revokes access tokens; running servers see it within a second.';
  const group = new CommandGroup('enc-server tokens', about);
  const { command, plan } = group;
  addFlags(command.command('create').description('make a token; prints it, once'))
    .requiredOption('--scopes <list>', `what it may do: ${SCOPES.join(', ')}`)
    .option('--namespace <name>', 'the only namespace that it may touch (default: all)', given)
    .option('--expires <when>', 'a time from now such as 30d, or a date (default: never)', given)
    .option('--note <text>', 'what it is for', given)
    .option('--out <path>', 'write it to this new file instead (0600)', given)
    .action((flags: CreateFlags) => {
      const wish = checkWish(flags);
      plan(() => create(flags, wish));
    });
  addFlags(command.command('list').description('list the tokens; never their secrets')).action(
    (flags: SharedFlags) => {
      plan(() => list(flags));
    },
  );
  addFlags(command.command('revoke <id>').description('end a token')).action(
    (id: string, flags: SharedFlags) => {
      const known = idOf(id);
      plan(() => revoke(known, flags));
    },
  );
  return group.run(argv);
}

function addFlags(command: Command): Command {
  return addConfigFlag(command)
    .option('--be', "the back end's tokens (default: the front end's)")
    .option('--tokens <file>', 'the file of the tokens (default: in the data folder)', given)
    .option('--data-dir <folder>', 'the data folder', given)
    .option('--json', 'print results and errors as JSON');
}

type Wish = Pick<TokenEntry, 'scopes' | 'namespace' | 'expiresMs' | 'note'>;

/** Throws `USAGE`. */
function checkWish(flags: CreateFlags): Wish {
  const { namespace, note: words = '' } = flags;
  checkUtf8('--namespace', namespace, 'a token is for a namespace in UTF-8, or for all');
  checkUtf8('--note', words, 'write it in UTF-8');
  if (namespace !== undefined && Buffer.byteLength(namespace) > NAMESPACE_BYTES_MAX) {
    throw usage(`a namespace has at most ${NAMESPACE_BYTES_MAX} bytes`);
  }
  if (words.length > NOTE_CHARACTERS_MAX) {
    throw usage(`a note has at most ${NOTE_CHARACTERS_MAX} characters`);
  }
  const expiresMs = flags.expires === undefined ? undefined : timeOf(flags.expires);
  return { scopes: scopesOf(flags), namespace, expiresMs, note: words };
}

function scopesOf({ scopes, be }: CreateFlags): Scope[] {
  const list = [...new Set(scopes.split(/[\s,+]+/).filter(Boolean))];
  const fits: readonly Scope[] = be
    ? ['frontend', 'admin']
    : SCOPES.filter((scope) => scope !== 'frontend');
  if (list.length === 0) throw usage('no scopes', `choose from ${fits.join(', ')}`);
  for (const word of list) {
    if (fits.includes(word as Scope)) continue;
    if (!SCOPES.includes(word as Scope)) {
      throw usage('no such scope', `did you mean ${nearest(word, [...SCOPES])}?`);
    }
    const where = be ? 'a back end has the scopes' : 'a front end has the scopes';
    throw usage(`the scope ${word} is for the other server`, `${where} ${fits.join(', ')}`);
  }
  return list as Scope[];
}

function timeOf(text: string): number {
  const now = Date.now();
  const span = parseDurationMs(text);
  const atMs = span === undefined ? Date.parse(text) : now + span;
  const isTime = span !== undefined || (!Number.isNaN(atMs) && isDay(text));
  if (!isTime) throw usage('--expires is no time', 'write 12h, 30d or 2030-01-31');
  if (atMs <= now) throw usage('--expires is in the past');
  if (atMs > now + EXPIRES_MS_MAX) throw usage('--expires is too far away', 'leave it out');
  return atMs;
}

/** A JavaScript date accepts almost anything; it turns `2030-02-30` into the 2nd of March. */
function isDay(text: string): boolean {
  const [, day] = /^(\d{4}-\d{2}-\d{2})(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?)?$/.exec(text) ?? [];
  return day !== undefined && new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

async function create(flags: CreateFlags, wish: Wish): Promise<ExitCode> {
  const path = await pathOf(flags);
  const { id, hash, token } = drawToken();
  // Written before the token counts, so that no token exists that nobody has.
  if (flags.out !== undefined) await writeNewFile(flags.out, Buffer.from(`${token}\n`));
  const entry = { ...wish, id, hash, createdMs: Date.now() };
  try {
    await changeTokens(path, (entries) => [...entries, entry]);
  } catch (error) {
    const { out } = flags;
    if (out === undefined) throw error;
    if (await counts(path, id)) note(`token ${id} counts nevertheless; it is in ${out}`);
    else await removeKeyFile(out);
    throw error;
  }
  const shown = flags.out === undefined ? { token } : { out: flags.out };
  const json = `${JSON.stringify({ ...describe(entry), ...shown })}\n`;
  try {
    if (flags.json) await deliver(json);
    else if (flags.out === undefined) await deliver(`${token}\n`);
  } catch (error) {
    if (flags.out === undefined) await withdraw(path, id);
    throw error;
  }
  note(`token ${id}: ${wish.scopes.join(', ')}; kept as a hash in ${path}`);
  return EXIT.done;
}

/** What nobody has received must not count. */
async function withdraw(path: string, id: string): Promise<void> {
  await changeTokens(path, (entries) => entries.filter((entry) => entry.id !== id)).catch(
    (error: unknown) => {
      note(`token ${id} counts nevertheless: revoke it`);
      throw error;
    },
  );
  note(`token ${id} does not count: nobody received it`);
}

/** A change can fail after it was made, such as where a folder cannot be synced. */
async function counts(path: string, id: string): Promise<boolean> {
  // A file that cannot be read lets nobody in.
  const entries = await readTokens(path).catch(() => []);
  return entries.some((entry) => entry.id === id);
}

async function list(flags: SharedFlags): Promise<ExitCode> {
  const entries = await readTokens(await pathOf(flags));
  if (flags.json) {
    await print(`${JSON.stringify(entries.map(describe))}\n`);
    return EXIT.done;
  }
  const rows = entries.map((entry) => {
    const { id, scopes, namespace, expires, expired, note: words } = describe(entry);
    const state = expired ? 'expired' : 'valid';
    return [id, state, scopes.join(','), namespace ?? '(all)', expires ?? 'never', words];
  });
  await print(table(['ID', 'STATE', 'SCOPES', 'NAMESPACE', 'EXPIRES', 'NOTE'], rows));
  return EXIT.done;
}

async function revoke(id: string, flags: SharedFlags): Promise<ExitCode> {
  const path = await pathOf(flags);
  await changeTokens(path, (entries) => {
    const left = entries.filter((entry) => entry.id !== id);
    if (left.length < entries.length) return left;
    throw new EncServerError('NOT_FOUND', `there is no token ${id}`, {
      hint: 'enc-server tokens list shows those there are',
    });
  });
  await print(flags.json ? `${JSON.stringify({ revoked: id })}\n` : 'SUCCESS\n');
  return EXIT.done;
}

function describe({ id, scopes, namespace, expiresMs, createdMs, note: words }: TokenEntry) {
  return {
    id,
    scopes,
    namespace,
    expires: expiresMs === undefined ? undefined : new Date(expiresMs).toISOString(),
    expired: expiresMs !== undefined && expiresMs <= Date.now(),
    created: new Date(createdMs).toISOString(),
    note: words,
  };
}

/** Somebody may paste the whole token: its ID is in it, and the secret is not shown. */
function idOf(text: string): string {
  const id = text.startsWith('est_') ? (text.split('_')[1] ?? '') : text;
  if (isTokenId(id)) return id;
  throw usage('this is no ID of a token', 'an ID has 12 hexadecimal digits; see tokens list');
}

async function pathOf(flags: SharedFlags): Promise<string> {
  const { loadConfig } = await import('../config/load.ts');
  const section = flags.be ? 'beServerConfigs' : 'feServerConfigs';
  const settings = { tokens: flags.tokens, dataDir: flags.dataDir };
  const { config } = await loadConfig({ file: flags.config, flags: { [section]: settings } });
  return config[section].tokens;
}
