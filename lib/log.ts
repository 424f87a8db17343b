/**
 * The log of a server: one JSON object per line, to a file of its own and to standard output.
 * Written synchronously, so that the last lines before a crash are there. Everything logged is
 * scrubbed first: bytes, secret fields and foreign errors' messages never reach a line.
 */

import type { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { lostLine, openLogFile, type Sink } from './log-file.ts';
import { messageOf, scrub, scrubFields } from './log-scrub.ts';

export type Logger = pino.Logger;

/** What may wait for the reader of standard output. */
const WAITING_BYTES_MAX = 1024 * 1024;

export interface LogOptions {
  readonly program: 'feserver' | 'beserver';
  /** The folder of the log files; empty for no files. */
  readonly dir: string;
  /** A file that reaches this size is followed by another; 0 for no bound. */
  readonly fileBytesMax: number;
  /**
   * Files of the program kept in the folder; beyond that the oldest are removed. 0 for no bound.
   */
  readonly filesMax: number;
  /** Whether to log to standard output too. */
  readonly stdout: boolean;
  /** A level of pino, such as `info`; `silent` for none. */
  readonly level: string;
  /** Used instead of standard output. */
  readonly stdoutStream?: NodeJS.WritableStream;
}

export interface OpenLog {
  readonly log: Logger;
  /** The first file, if one could be made. */
  readonly file: string | undefined;
  /** Why there is no file although one was asked for; also logged. */
  readonly warning: string | undefined;
  /** Lines logged after this are dropped. */
  close(): Promise<void>;
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
      const opened = openLogFile(options);
      file = opened.path;
      sinks.push(opened.sink);
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
  // The logger's own level decides; a sink takes every line it gets.
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

/** pino uses an error's own message as the line's; here only messages known to be safe. */
function logMethod(this: Logger, args: unknown[], method: pino.LogFn): void {
  const [first, ...rest] = args;
  const error = first instanceof Error ? first : (first as { err?: unknown } | null)?.err;
  const fields = first instanceof Error ? { err: first } : first;
  const words = rest.length === 0 && error instanceof Error ? [messageOf(error)] : rest.map(scrub);
  method.apply(this, [fields, ...words] as unknown as Parameters<pino.LogFn>);
}

function reasonOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  return code ?? message;
}

/**
 * A reader that went away (EPIPE) or stands still costs lines; without the listener, the one would
 * end the process, and without a bound, the other would fill its memory.
 */
function streamSink(stream: NodeJS.WritableStream): Sink {
  let open = true;
  let lost = 0;
  const onError = () => {
    open = false;
  };
  stream.on('error', onError);
  return {
    write: (line) => {
      if (!open) return;
      if ((stream as Writable).writableLength > WAITING_BYTES_MAX) {
        lost++;
        return;
      }
      if (lost > 0) stream.write(lostLine(lost));
      lost = 0;
      stream.write(line);
    },
    close: async () => {
      open = false;
      // The error of the last write arrives a turn later.
      await setImmediate();
      stream.off('error', onError);
    },
  };
}
