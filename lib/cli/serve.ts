/**
 * Runs one server until it is stopped: by a signal, or, under `enc-server up`, by its parent. `up`
 * starts both as processes that load while it still reads the configuration; each opens nothing
 * until it has received it.
 */
import { setFlagsFromString } from 'node:v8';
import type { Config } from '../config/load.ts';
import { EXIT, type ExitCode, toEncServerError } from '../errors.ts';
import type { WorkerLink } from '../fe/workers/worker.ts';
import type { Logger } from '../log.ts';
import type { RunningServer } from '../net/port.ts';
import { type Failed, failedBy, tellParent } from '../parent-process.ts';
import { firstSignal } from './signals.ts';
import { note, print } from './terminal.ts';

/** How long standard output may take for the last lines of the log, in milliseconds. */
const LAST_WORDS_MS = 1_000;

export type Role = 'be' | 'fe';

/** What `up` tells a server. */
export type ParentMessage =
  | { readonly kind: 'start'; readonly config: Config }
  | { readonly kind: 'stop' };

/** What a server tells `up`. */
export type ChildMessage =
  | {
      readonly kind: 'listening';
      readonly line: string;
      readonly port: number;
      /** Whether its log goes to a file. */
      readonly logsToFile: boolean;
    }
  | Failed
  | { readonly kind: 'signalled' };

const send: (message: ChildMessage) => Promise<void> = tellParent;

type Start = (config: Config, log: Logger, link?: WorkerLink) => Promise<RunningServer>;

async function startOf(role: Role): Promise<Start> {
  if (role === 'be') return (await import('../be/server.ts')).startBe;
  const { startFe } = await import('../fe/server.ts');
  return async (config, log, link) => {
    if (config.feServerConfigs.workers === 1 || link !== undefined) {
      return await startFe(config, log, link);
    }
    const { startFeWorkers } = await import('../fe/workers/parent.ts');
    return await startFeWorkers(config, log, new URL('./fe-worker.js', import.meta.url));
  };
}

/** Loads a server's dependencies, so that starting it later is quick. */
export async function preload(role: Role): Promise<void> {
  await Promise.all([startOf(role), import('../log.ts')]);
}

interface Served {
  readonly server: RunningServer;
  readonly logsToFile: boolean;
  /** Drains, then closes the log. */
  stop(): Promise<void>;
}

/**
 * Starts a server with its log; a worker of a front end has a link to its parent. Rejects with the
 * error that keeps it from starting.
 */
export async function serve(
  role: Role,
  config: Config,
  warnings: readonly string[],
  link?: WorkerLink,
): Promise<Served> {
  setEngineFlags();
  const [start, { openLog }] = await Promise.all([startOf(role), import('../log.ts')]);
  const program = role === 'be' ? 'beserver' : 'feserver';
  const { log: whole, file, warning, close } = openLog({ ...config.log, program });
  const log = link === undefined ? whole : whole.child({ worker: link.share.worker });
  // It is logged, too, but there may be no log. For a worker, the parent has reported it.
  if (warning !== undefined && link === undefined) note(`${role}-server: ${warning}`);
  for (const words of warnings) log.warn(words);
  process.on('uncaughtExceptionMonitor', (err) => log.fatal({ err }, 'uncaught exception'));
  try {
    const server = await start(config, log, link);
    // From the process itself, also where it has a parent: they share standard output.
    server.later?.then((line) => print(`${line}\n`)).catch(() => undefined);
    return {
      server,
      logsToFile: file !== undefined,
      async stop() {
        await server.close();
        await close();
      },
    };
  } catch (thrown) {
    const error = toEncServerError(thrown);
    log.fatal({ err: error }, 'did not start');
    await close();
    throw error;
  }
}

/** Serves until SIGINT, SIGTERM or SIGHUP; a second of the first two ends the process at once. */
export async function serveUntilSignal(
  role: Role,
  config: Config,
  warnings: readonly string[],
  say: (line: string) => Promise<void>,
): Promise<ExitCode> {
  const signalled = firstSignal(() => process.exit(EXIT.internal));
  const served = await serve(role, config, warnings);
  try {
    await say(`${served.server.line}\n`);
    await signalled;
  } finally {
    await served.stop();
    // Whoever should read standard output and does not must not keep the process.
    if (process.stdout.writableLength > 0) setTimeout(() => process.exit(), LAST_WORDS_MS).unref();
  }
  return EXIT.done;
}

/** Serves as a child process of `enc-server up`. */
export async function serveUnderParent(role: Role): Promise<ExitCode> {
  // A terminal and a service manager signal all processes at once; the parent decides in which
  // order the servers stop.
  const signalled = () => void send({ kind: 'signalled' });
  void firstSignal(signalled).then(signalled);
  let config: Config | undefined;
  // The parent stops it, or is gone: without it, nobody would ever stop this process.
  const stopped = new Promise<void>((resolve) => {
    process.once('disconnect', resolve);
    process.on('message', (message: ParentMessage) => {
      if (message.kind === 'stop') resolve();
    });
  });
  const started = new Promise<void>((resolve) => {
    process.on('message', (message: ParentMessage) => {
      if (message.kind !== 'start') return;
      config = message.config;
      resolve();
    });
  });
  preload(role).catch(() => undefined);
  await Promise.race([started, stopped]);
  if (config === undefined) return EXIT.done;
  try {
    const { server, logsToFile, stop } = await serve(role, config, []);
    await send({ kind: 'listening', line: server.line, port: server.port, logsToFile });
    await stopped;
    await stop();
    return EXIT.done;
  } catch (thrown) {
    return await tellFailure(thrown);
  }
}

/** Tells the parent why this process does not start, and shows people the stack of a defect. */
export async function tellFailure(thrown: unknown): Promise<ExitCode> {
  const error = toEncServerError(thrown);
  const { code, row, cause } = error;
  if (code === 'INTERNAL' && cause instanceof Error) note(String(cause.stack));
  await tellParent(failedBy(error));
  return row.exit;
}

/** V8 flags for servers, whose garbage is short-lived, or buffers outside the heap. */
function setEngineFlags(): void {
  // A request leaves little garbage: waking threads for it costs more than they help.
  setFlagsFromString('--no-parallel-scavenge');
  // The heap has about 12 MiB. By default all of it is collected whenever about as many bytes of
  // buffers were allocated: with large records, at every fifth request. This allows at most seven
  // times as much.
  setFlagsFromString('--heap-growing-percent=600');
}
