/**
 * The files of a log: bounded in size and in number, so that a log never fills a disk. This module
 * writes them itself, synchronously: the available libraries buffer, and lose the last lines before
 * a crash.
 */
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** Where lines go; never throws. */
export interface Sink {
  write(line: string): void;
  close(): void | Promise<void>;
}

export interface LogFileOptions {
  /** The folder; made with mode 0700 if it does not exist. */
  readonly dir: string;
  readonly program: string;
  /** A file that reaches this size is followed by another; 0 for no bound. */
  readonly fileBytesMax: number;
  /**
   * Files of the program kept in the folder; beyond that the oldest are removed. 0 for no bound.
   */
  readonly filesMax: number;
}

interface OpenFile {
  readonly path: string;
  readonly fd: number;
}

/**
 * Opens a file `PROGRAM.YYYYMMDD-HHMMSS-PID.log` (UTC) of mode 0600.
 *
 * @returns its path, and a sink that writes to it, and later to the files that follow it
 * @throws Error of the system, or with a message if the folder cannot be trusted
 */
export function openLogFile(options: LogFileOptions): { path: string; sink: Sink } {
  const first = openFile(options);
  prune(options, first.path);
  return { path: first.path, sink: new FileSink(options, first) };
}

/** A full disk costs lines, and the log says how many; it never fails a request. */
class FileSink implements Sink {
  readonly #options: LogFileOptions;
  #fd: number | undefined;
  /** Bytes left until the next file begins. */
  #leftBytes: number;
  #lost = 0;
  #torn = false;

  constructor(options: LogFileOptions, { fd }: OpenFile) {
    this.#options = options;
    this.#fd = fd;
    this.#leftBytes = options.fileBytesMax;
  }

  write(line: string): void {
    if (this.#fd === undefined) return;
    const head = this.#lost === 0 ? '' : `${this.#torn ? '\n' : ''}${lostLine(this.#lost)}`;
    const bytes = Buffer.from(`${head}${line}`);
    const { fileBytesMax } = this.#options;
    const isFull = this.#leftBytes < bytes.length && this.#leftBytes < fileBytesMax;
    if (fileBytesMax > 0 && isFull) this.#next();
    let written = 0;
    try {
      written = writeSync(this.#fd, bytes);
    } catch {
      // Counted below, and reported as soon as there is room.
    }
    this.#leftBytes -= written;
    this.#lost = written === bytes.length ? 0 : this.#lost + 1;
    this.#torn = written === bytes.length ? false : this.#torn || written > 0;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** If none can be opened, the current file is used on, for as many bytes again. */
  #next(): void {
    this.#leftBytes = this.#options.fileBytesMax;
    try {
      const next = openFile(this.#options);
      this.close();
      this.#fd = next.fd;
      prune(this.#options, next.path);
    } catch {
      // A line in a file that is too long is better than none.
    }
  }
}

function openFile({ dir, program }: LogFileOptions): OpenFile {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  checkFolder(dir);
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const base = join(dir, `${program}.${timeOfName(new Date())}-${process.pid}`);
  // The same second and process ID may exist already, if a container restarts or files fill
  // quickly: number them.
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
 * The default folder is in /tmp, where another user may have planted a folder or a link. Only what
 * belongs to this user or to root is used. Checked after it was made: in a folder with the sticky
 * bit, nobody else can change it any more.
 * @throws Error with a message
 */
function checkFolder(dir: string): void {
  for (const stats of [lstatSync(dir), statSync(dir)]) {
    if (!isTrusted(stats)) throw new Error('it belongs to another user');
  }
}

function isTrusted(stats: Stats): boolean {
  return stats.uid === 0 || stats.uid === process.getuid?.();
}

/** Removes the files of the program that have not been written to for the longest time. */
function prune({ dir, program, filesMax }: LogFileOptions, current: string): void {
  if (filesMax === 0) return;
  try {
    const others = filesOf(dir, program).filter(({ path }) => path !== current);
    const excess = others.length + 1 - filesMax;
    if (excess <= 0) return;
    others.sort((a, b) => a.writtenMs - b.writtenMs || a.path.localeCompare(b.path));
    for (const { path } of others.filter(({ pid }) => !isAnotherRunning(pid)).slice(0, excess)) {
      unlinkSync(path);
    }
  } catch {
    // What cannot be removed now is tried again with the next file.
  }
}

function filesOf(dir: string, program: string) {
  const form = new RegExp(`^${program}\\.\\d{8}-\\d{6}-(\\d+)(?:\\.\\d+)?\\.log$`);
  return readdirSync(dir).flatMap((name) => {
    const match = form.exec(name);
    if (match === null) return [];
    const path = join(dir, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats ? [{ path, pid: Number(match[1]), writtenMs: stats.mtimeMs }] : [];
  });
}

/** Another running server would go on writing to a file that nobody can open any more. */
function isAnotherRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** `YYYYMMDD-HHMMSS`, UTC. */
function timeOfName(time: Date): string {
  return time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
}

/** The line that stands for `lost` lines. */
export function lostLine(lost: number): string {
  const msg = 'lines before could not be written';
  return `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), lost, msg })}\n`;
}
