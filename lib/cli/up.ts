/** `enc-server up`: both servers as two processes, started and stopped together. */
import { join } from 'node:path';
import type { Config } from '../config/load.ts';
import { EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { checkListening } from '../net/host-policy.ts';
import { loadFor, parse, port, program, quoted } from './command-line.ts';
import { ServerChild } from './server-child.ts';
import {
  addBeFlags,
  addFeFlags,
  addSharedFlags,
  beSettings,
  feSettings,
  linkSettings,
  type ServerFlags,
} from './server-flags.ts';
import { firstSignal } from './signals.ts';
import { note, print, runProgram } from './terminal.ts';

/**
 * How much longer than its own bound a server may take to end before it is killed, in milliseconds.
 */
const GRACE_MS = 2_000;
const FE_PORT_DEFAULT = 7777;
const WILDCARDS: readonly string[] = ['localhost', '0.0.0.0', '::'];

export function runUp(argv: readonly string[]): Promise<ExitCode> {
  const command = program('enc-server up', 'Starts the back end and the front end.');
  addFeFlags(addBeFlags(addSharedFlags(command)))
    .option('--fe-port <port>', "the front end's port (default: 7777)", port)
    .option('--be-port <port>', "the back end's port (default: 8888)", port);
  return runProgram('enc-server up', async () => {
    parse(command, argv);
    return await up(command.opts<ServerFlags>());
  });
}

async function up(flags: ServerFlags): Promise<ExitCode> {
  // The servers load while the configuration is read; they open nothing until they receive it.
  const be = new ServerChild('be');
  const fe = new ServerChild('fe');
  let isSignalled = false;
  const signalled = firstSignal(() => {
    be.kill();
    fe.kill();
    process.exit(EXIT.internal);
  }).then(() => {
    isSignalled = true;
    return 'a signal came';
  });
  let drainTimeoutMs = 0;
  let reason: string;
  try {
    const config = await readConfig(flags);
    drainTimeoutMs = Math.max(
      config.feServerConfigs.drainTimeoutMs,
      config.beServerConfigs.drainTimeoutMs,
    );
    const ended = Promise.race([signalled, endOf(be), endOf(fe)]);
    const starting = start(config, flags, be, fe);
    await Promise.race([starting, ended]);
    reason = await ended;
  } finally {
    // In this order, so that requests under way in the front end still reach the back end.
    await fe.stop(drainTimeoutMs + GRACE_MS);
    await be.stop(drainTimeoutMs + GRACE_MS);
  }
  // Reported only now: if all processes are signalled at once, a server may be the first to say so.
  if (!isSignalled) note(`enc-server up: ${reason}; both servers are stopped now`);
  return isSignalled && be.isDone && fe.isDone ? EXIT.done : EXIT.internal;
}

async function readConfig(flags: ServerFlags): Promise<Config> {
  const config = await loadFor('enc-server up', {
    file: flags.config,
    flags: {
      // The tokens of `--auth` are for the front end; its own link has none to present.
      beServerConfigs: beSettings({ ...flags, auth: false }),
      feServerConfigs: feSettings(flags),
      beClientConfigs: linkSettings(flags),
      log: {},
    },
  });
  const { dialect } = config.beClientConfigs;
  if (dialect !== 'frames') {
    const hint = 'start fe-server alone for a back end of the family, or leave dialect out';
    const words = `the back end that up starts is called in frames, not in ${dialect}`;
    throw new EncServerError('BAD_CONFIG', words, { hint });
  }
  checkListening(config.beServerConfigs);
  checkListening(config.feServerConfigs);
  return withQuietLog(config);
}

/** Starts the back end, then the front end, and prints where they listen. */
async function start(
  config: Config,
  flags: ServerFlags,
  be: ServerChild,
  fe: ServerChild,
): Promise<void> {
  const backEnd = await be.start(config);
  await print(`${backEnd.line}\n`);
  const frontEnd = await fe.start(withBackEndAt(config, backEnd.port));
  await print(`${frontEnd.line}\n`);
  const server = serverFlag(config.feServerConfigs.host, frontEnd.port);
  await print(
    `try: npx enc-server-ts fe-client store --id alice --key-out alice.key${server}${tlsFlag(flags)}\n`,
  );
  const logsToFile = backEnd.logsToFile || frontEnd.logsToFile;
  await print(`logs: ${logsToFile ? config.log.dir : '(no files)'}\n`);
}

/** Resolves to what happened, for people. */
function endOf(child: ServerChild): Promise<string> {
  return Promise.race([
    child.ended.then(() => `the ${child.name} ended`),
    child.signalled.then(() => `the ${child.name} was told to stop`),
  ]);
}

/** Standard output belongs to `up`, unless the log was put there explicitly. */
function withQuietLog(config: Config): Config {
  const { stdout, stdoutGiven } = config.log;
  return { ...config, log: { ...config.log, stdout: stdout && stdoutGiven } };
}

function withBackEndAt(config: Config, bePort: number): Config {
  const serverAddr = addressOf(config.beServerConfigs.host, bePort);
  return { ...config, beClientConfigs: { ...config.beClientConfigs, serverAddr } };
}

/**
 * What a client on this machine needs to find the front end; empty if that is at the default place.
 */
function serverFlag(host: string, fePort: number): string {
  const isDefault = WILDCARDS.includes(host) && fePort === FE_PORT_DEFAULT;
  return isDefault ? '' : ` --server ${addressOf(host, fePort)}`;
}

function tlsFlag({ tls, auth }: ServerFlags): string {
  const ca = tls === undefined ? '' : ` --tls-ca ${quoted(join(tls, 'ca.pem'))}`;
  return auth ? `${ca} --token-file TOKEN_FILE` : ca;
}

/** `HOST:PORT` of a server on this machine. */
function addressOf(host: string, serverPort: number): string {
  const reachable = WILDCARDS.includes(host) ? 'localhost' : host;
  return `${reachable.includes(':') ? `[${reachable}]` : reachable}:${serverPort}`;
}
