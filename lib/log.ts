/**
 * The log of a server: one JSON object a line, to a file of its own and to standard output.
 * Written synchronously, so that the last lines before a crash are there. What is logged is
 * scrubbed on its way: bytes, secrets' names and foreign errors' words never reach a line.
 */

import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { messageOf, scrub, scrubFields } from './log-scrub.ts';

export type Logger = pino.Logger;

export interface LogOptions {
  readonly program: 'feserver' | 'beserver';
  /** The folder of the log files; empty for no files. */
  readonly dir: string;
  /** Whether to log to standard output too. */
  readonly stdout: boolean;
  /** A level of pino, such as `info`; `silent` for none. */
  readonly level: string;
  /** Instead of standard output. */
  readonly stdoutStream?: NodeJS.WritableStream;
}

export interface OpenLog {
  readonly log: Logger;
  /** The file, where one could be made. */
  readonly file: string | undefined;
  /** Why there is no file although one was asked for; logged, too. */
  readonly warning: string | undefined;
  /** Lines logged afterwards are dropped. */
  close(): Promise<void>;
}

/** Somewhere lines go; never throws. */
interface Sink {
  write(line: string): void;
  close(): void | Promise<void>;
}

/** A logger that does nothing. */
export const silentLog: Logger = pino({ enabled: false }, { write: () => {} });

/**
 * Opens the log of a server. Never fails: a folder that cannot be used is a warning.
 * Files are named `feserver.YYYYMMDD-HHMMSS-PID.log` (UTC), mode 0600 in a folder of mode 0700.
 */
export function openLog(options: LogOptions): OpenLog {
  const sinks: Sink[] = [];
  let file: string | undefined;
  let warning: string | undefined;
  if (options.dir !== '') {
    try {
      const opened = openFile(options.dir, options.program);
      file = opened.path;
      sinks.push(fileSink(opened.fd));
    } catch (thrown) {
      const hint = 'ENC_SERVER_TS_LOG_DIR names another folder';
      warning = `no log file in ${options.dir}: ${reasonOf(thrown)}; ${hint}`;
    }
  }
  if (options.stdout) sinks.push(streamSink(options.stdoutStream ?? process.stdout));
  const log = createLogger(options, sinks);
  if (warning !== undefined) log.warn(warning);
  const close = async () => {
    for (const sink of sinks.splice(0)) await sink.close();
  };
  return { log, file, warning, close };
}

function createLogger(options: LogOptions, sinks: readonly Sink[]): Logger {
  // The logger's own level decides; a sink takes whatever comes.
  const streams = sinks.map((sink) => ({ stream: sink, level: 'trace' as const }));
  const log: Logger = pino(
    {
      level: options.level,
      enabled: sinks.length > 0,
      base: { program: options.program, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      // Errors are described by the scrubbing, which sees them first.
      serializers: { err: (described: unknown) => described },
      formatters: { level: (label) => ({ level: label }), log: scrubFields },
      hooks: { logMethod },
    },
    pino.multistream(streams),
  );
  // The fields of a child are written into its lines as they are, so they are scrubbed here.
  // Children of children inherit this.
  const { child } = log;
  log.child = function (this: Logger, fields: pino.Bindings, childOptions?: object) {
    return child.call(this, scrubFields(fields), childOptions);
  } as Logger['child'];
  return log;
}

/** pino takes an error's own message as the line's; here only words that are known to be safe. */
function logMethod(this: Logger, args: unknown[], method: pino.LogFn): void {
  const [first, ...rest] = args;
  const error = first instanceof Error ? first : (first as { err?: unknown } | null)?.err;
  const fields = first instanceof Error ? { err: first } : first;
  const words = rest.length === 0 && error instanceof Error ? [messageOf(error)] : rest.map(scrub);
  method.apply(this, [fields, ...words] as unknown as Parameters<pino.LogFn>);
}

function openFile(dir: string, program: string): { path: string; fd: number } {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  checkFolder(dir);
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const base = join(dir, `${program}.${timeOfName(new Date())}-${process.pid}`);
  // The same second and process ID are there already where a container starts anew: number them.
  for (let again = 1; ; again++) {
    const path = again === 1 ? `${base}.log` : `${base}.${again}.log`;
    try {
      const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      return { path, fd };
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST' || again === 100) throw thrown;
    }
  }
}

/**
 * The default folder is in /tmp, where another user may have planted one, or a link to
 * somewhere. Only what belongs to this user or to root is used. Checked after it was made: in a
 * folder with the sticky bit, nobody else can change it any more.
 * @throws Error in words
 */
function checkFolder(dir: string): void {
  for (const stats of [lstatSync(dir), statSync(dir)]) {
    if (!isTrusted(stats)) throw new Error('it belongs to another user');
  }
}

function isTrusted(stats: Stats): boolean {
  return stats.uid === 0 || stats.uid === process.getuid?.();
}

/** `YYYYMMDD-HHMMSS`, UTC. */
function timeOfName(time: Date): string {
  return time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
}

function reasonOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  return code ?? message;
}

/** A full disk costs lines, and the log says how many; it never costs a request. */
function fileSink(fd: number): Sink {
  let open = true;
  let lost = 0;
  let torn = false;
  return {
    write: (line) => {
      if (!open) return;
      const bytes = Buffer.from(lost === 0 ? line : `${torn ? '\n' : ''}${lostLine(lost)}${line}`);
      let written = 0;
      try {
        written = writeSync(fd, bytes);
      } catch {
        // Counted below, and told of as soon as there is room.
      }
      lost = written === bytes.length ? 0 : lost + 1;
      torn = written === bytes.length ? false : torn || written > 0;
    },
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

function lostLine(lost: number): string {
  const msg = 'lines before could not be written';
  return `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), lost, msg })}\n`;
}

/** A reader that went away (EPIPE) costs lines; without the listener it would end the process. */
function streamSink(stream: NodeJS.WritableStream): Sink {
  let open = true;
  const onError = () => {
    open = false;
  };
  stream.on('error', onError);
  return {
    write: (line) => {
      if (open) stream.write(line);
    },
    close: async () => {
      open = false;
      // The error of the last write comes a turn later.
      await setImmediate();
      stream.off('error', onError);
    },
  };
}
