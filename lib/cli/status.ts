/** `enc-server status`: both servers at a glance. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BeClient } from '../be/client.ts';
import { parseDurationMs } from '../config/quantity.ts';
import { EXIT, type ExitCode, toEncServerError } from '../errors.ts';
import { FeClient } from '../fe/client.ts';
import { timerMs } from '../net/timer.ts';
import { addTlsFlags, type CallFlags, callFlags, linkOf, type TlsFlags } from './call-flags.ts';
import { address, duration, given, loadFor, parse, program } from './command-line.ts';
import { firstSignal } from './signals.ts';
import { isWell, jsonOf, type Look, lineOf, tableOf } from './status-view.ts';
import { isTaken, print, runProgram } from './terminal.ts';

interface StatusFlags extends Omit<CallFlags, 'tls'> {
  readonly config?: string;
  readonly json?: boolean;
  readonly fe?: string;
  readonly be?: string;
  readonly beTokenFile?: string;
  readonly tls?: string;
  readonly watch?: boolean;
  readonly interval?: string;
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
  const command = program('enc-server status', 'Shows how both servers are.')
    .option('--fe <address>', 'the front end, HOST:PORT', address)
    .option('--be <address>', 'the back end, HOST:PORT', address)
    .option('--token-file <path>', 'a file with a token of the scope admin', given)
    .option('--be-token-file <path>', 'the same for the back end', given)
    .option('--tls <folder>', 'call over TLS as admin, with the files of tls-init', given);
  addTlsFlags(command)
    .option('--timeout <time>', 'longest time for an answer, such as 500ms or 10s', duration)
    .option('--watch', 'repeat until Ctrl-C')
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
  try {
    const looks = flags.watch ? await watch(askers, flags) : await lookOnce(askers, flags);
    const [unwell] = looks.filter((one) => !isWell(one));
    // A server that cannot be reached, or refuses, determines the exit code by its error; one that
    // is unhealthy counts as unreachable.
    return unwell === undefined ? EXIT.done : (unwell.error?.row.exit ?? EXIT.unreachable);
  } finally {
    for (const { client } of askers) client.close();
  }
}

async function lookOnce(askers: readonly Asker[], { json }: StatusFlags): Promise<Look[]> {
  const looks = await lookAt(askers);
  await print(json ? jsonOf(looks, []) : tableOf(looks, []));
  return looks;
}

/**
 * Until a signal comes, or nobody reads the output any more. Resolves to the last complete look.
 */
async function watch(askers: readonly Asker[], flags: StatusFlags): Promise<Look[]> {
  const stopping = new AbortController();
  const { signal } = stopping;
  void firstSignal(() => process.exit(EXIT.internal)).then(() => stopping.abort());
  const intervalMs = timerMs(parseDurationMs(flags.interval) ?? INTERVAL_MS);
  let last: Look[] = [];
  for (;;) {
    const looks = await lookAt(askers, signal);
    if (signal.aborted) return last.length === 0 ? looks : last;
    const isRead = await isTaken(render(looks, last, flags));
    last = looks;
    if (isRead) await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted || !isRead) return last;
  }
}

function render(looks: Look[], before: Look[], { json }: StatusFlags): string {
  if (json) return jsonOf(looks, before);
  if (process.stdout.isTTY) return `${REDRAW}${tableOf(looks, before)}`;
  return lineOf(looks, before, Date.now());
}

async function openAskers(flags: StatusFlags): Promise<Asker[]> {
  const config = await loadFor('enc-server status', {
    file: flags.config,
    flags: {
      feClientConfigs: await callFlags(whomOf(flags, flags.fe, flags.tokenFile)),
      beClientConfigs: await callFlags(whomOf(flags, flags.be, flags.beTokenFile)),
    },
  });
  const { feClientConfigs: fe, beClientConfigs: be } = config;
  return [
    { server: 'fe', address: fe.serverAddr, client: new FeClient(linkOf(fe)) },
    { server: 'be', address: be.serverAddr, client: new BeClient(linkOf(be)) },
  ];
}

/** How to call one of the servers. */
function whomOf(
  { tls, ...rest }: StatusFlags,
  server: string | undefined,
  tokenFile: string | undefined,
): CallFlags {
  return { ...(tls !== undefined && adminFiles(tls)), ...rest, server, tokenFile };
}

function adminFiles(folder: string): TlsFlags {
  return {
    tlsCa: join(folder, 'ca.pem'),
    tlsCert: join(folder, 'admin.pem'),
    tlsKey: join(folder, 'admin.key'),
  };
}

async function lookAt(askers: readonly Asker[], signal?: AbortSignal): Promise<Look[]> {
  return await Promise.all(askers.map((asker) => look(asker, signal)));
}

async function look({ server, address: at, client }: Asker, signal?: AbortSignal): Promise<Look> {
  const asked = await client.info({ signal }).then(
    (facts) => ({ facts, error: undefined }),
    (thrown: unknown) => ({ facts: undefined, error: toEncServerError(thrown) }),
  );
  return { server, address: at, atMs: performance.now(), ...asked };
}
