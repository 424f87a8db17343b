/** `enc-server status`: both servers at a glance. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BeClient } from '../be/client.ts';
import type { Config } from '../config/load.ts';
import { parseDurationMs } from '../config/quantity.ts';
import { type EncServerError, EXIT, type ExitCode, toEncServerError } from '../errors.ts';
import { FeClient } from '../fe/client.ts';
import { callOf } from '../net/call-settings.ts';
import { callFlags, type SharedFlags } from './client-flags.ts';
import { address, duration, given, parse, program } from './command-line.ts';
import { firstSignal } from './signals.ts';
import { table } from './table.ts';
import { note, print, runProgram } from './terminal.ts';

interface StatusFlags extends Omit<SharedFlags, 'tls'> {
  readonly fe?: string;
  readonly be?: string;
  readonly beTokenFile?: string;
  readonly tls?: string;
  readonly watch?: boolean;
  readonly interval?: string;
}

type Facts = Readonly<Record<string, unknown>>;

/** What one server says, or why it does not. */
interface Look {
  readonly server: 'fe' | 'be';
  readonly address: string;
  readonly facts: Facts | undefined;
  readonly error: EncServerError | undefined;
  readonly atMs: number;
}

interface Asker {
  readonly server: 'fe' | 'be';
  readonly address: string;
  readonly client: FeClient | BeClient;
}

const INTERVAL_MS = 2_000;
/** Cursor to the top left, and everything below it erased (ECMA-48, CUP and ED). */
const REDRAW = '\x1b[H\x1b[J';

export function runStatus(argv: readonly string[]): Promise<ExitCode> {
  const command = program('enc-server status', 'Shows how both servers are.');
  command
    .option('--fe <address>', 'the front end, HOST:PORT', address)
    .option('--be <address>', 'the back end, HOST:PORT', address)
    .option('--token-file <path>', 'a file with a token of the scope admin', given)
    .option('--be-token-file <path>', 'the same for the back end', given)
    .option('--tls <folder>', 'call over TLS as admin, with the files of tls-init', given)
    .option('--timeout <time>', 'longest time for an answer, such as 500ms or 10s', duration)
    .option('--watch', 'look again and again, until Ctrl-C')
    .option('--interval <time>', 'how often to look (default: 2s)', duration)
    .option('--json', 'print results and errors as JSON');
  return runProgram(
    'enc-server status',
    async () => {
      parse(command, argv);
      return await status(command.opts<StatusFlags>());
    },
    argv.includes('--json'),
  );
}

async function status(flags: StatusFlags): Promise<ExitCode> {
  const askers = await openAskers(flags);
  let stopped = false;
  const signal = new AbortController();
  try {
    if (flags.watch) {
      void firstSignal(() => undefined).then(() => {
        stopped = true;
        signal.abort();
      });
    }
    let before: readonly Look[] = [];
    for (;;) {
      const looks = await Promise.all(askers.map(look));
      await show(looks, before, flags);
      before = looks;
      if (flags.watch && !stopped) {
        const intervalMs = parseDurationMs(flags.interval) ?? INTERVAL_MS;
        await sleep(intervalMs, undefined, { signal: signal.signal }).catch(() => undefined);
      }
      if (!flags.watch || stopped) return looks.every(isWell) ? EXIT.done : EXIT.unreachable;
    }
  } finally {
    for (const { client } of askers) client.close();
  }
}

async function openAskers(flags: StatusFlags): Promise<Asker[]> {
  const { loadConfig } = await import('../config/load.ts');
  const { tls, timeout } = flags;
  const files = tls === undefined ? {} : adminFiles(tls);
  const { config, warnings } = await loadConfig({
    file: flags.config,
    flags: {
      feClientConfigs: await callFlags({ ...files, ...whomOf(flags.fe, flags.tokenFile, timeout) }),
      beClientConfigs: await callFlags({
        ...files,
        ...whomOf(flags.be, flags.beTokenFile, timeout),
      }),
    },
  });
  for (const words of warnings) note(`enc-server status: ${words}`);
  const { feClientConfigs: fe, beClientConfigs: be } = config;
  return [
    { server: 'fe', address: fe.serverAddr, client: new FeClient(optionsOf(fe)) },
    { server: 'be', address: be.serverAddr, client: new BeClient(optionsOf(be)) },
  ];
}

function whomOf(
  server: string | undefined,
  tokenFile: string | undefined,
  timeout: string | undefined,
): SharedFlags {
  return {
    ...(server !== undefined && { server }),
    ...(tokenFile !== undefined && { tokenFile }),
    ...(timeout !== undefined && { timeout }),
  };
}

function optionsOf(section: Config['feClientConfigs'] | Config['beClientConfigs']) {
  return { ...callOf(section), timeoutMs: section.timeoutMs };
}

function adminFiles(folder: string): SharedFlags {
  return {
    tlsCa: join(folder, 'ca.pem'),
    tlsCert: join(folder, 'admin.pem'),
    tlsKey: join(folder, 'admin.key'),
  };
}

async function look({ server, address: at, client }: Asker): Promise<Look> {
  const atMs = Date.now();
  try {
    return { server, address: at, facts: await client.info(), error: undefined, atMs };
  } catch (thrown) {
    return { server, address: at, facts: undefined, error: toEncServerError(thrown), atMs };
  }
}

function isWell({ facts }: Look): boolean {
  return facts?.['ok'] === true;
}

async function show(
  looks: readonly Look[],
  before: readonly Look[],
  { json, watch }: StatusFlags,
): Promise<void> {
  if (json) {
    const shown = looks.map(({ server, address: at, facts, error }) => ({
      server,
      address: at,
      ...(error === undefined ? facts : { ok: false, code: error.code, reason: error.message }),
    }));
    await print(`${JSON.stringify(shown)}\n`);
    return;
  }
  const rows = looks.map((now) =>
    rowOf(
      now,
      before.find(({ server }) => server === now.server),
    ),
  );
  const headings = ['SERVER', 'STATE', 'UPTIME', 'CONNS', 'UNDER WAY', 'REQ/S', 'IN FLIGHT'];
  const text = table([...headings, 'EPOCH', 'STORE'], rows);
  await print(watch && process.stdout.isTTY ? `${REDRAW}${text}` : text);
}

function rowOf({ server, address: at, facts, error, atMs }: Look, before: Look | undefined) {
  const name = `${server} ${at}`;
  if (facts === undefined) return [name, `${error?.code}: ${error?.message}`];
  const requests = numberOf(facts['requests']);
  const last = before?.facts && numberOf(before.facts['requests']);
  const seconds = (atMs - (before?.atMs ?? atMs)) / 1_000;
  const rate = last === undefined || seconds === 0 ? '-' : ((requests - last) / seconds).toFixed(0);
  return [
    name,
    facts['ok'] === true ? 'ok' : String(facts['reason'] ?? 'not ready'),
    `${Math.floor(numberOf(facts['uptimeMs']) / 1_000)} s`,
    String(facts['connections']),
    String(facts['requestsUnderWay']),
    rate,
    `${(numberOf(facts['bytesInFlight']) / 1_048_576).toFixed(1)} MiB`,
    String(facts['epoch'] ?? '-'),
    storeOf(facts['store']),
  ];
}

function storeOf(store: unknown): string {
  if (typeof store !== 'object' || store === null) return '';
  const { kind, records, place } = store as Record<string, unknown>;
  return `${kind}, about ${records} records${place ? `, ${place}` : ''}`;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
