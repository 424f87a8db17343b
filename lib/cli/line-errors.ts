/** The errors in the lines of a file, and the exit code that follows from them. */
import { ERRORS, type ErrorCode, EXIT, type ExitCode } from '../errors.ts';
import { note } from './terminal.ts';

export interface LineError {
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

/** A file may have an error in every line: beyond this they are only counted. */
const KEPT_MAX = 1_000;

export class LineErrors {
  /** The first errors. */
  readonly kept: LineError[] = [];
  count = 0;

  add({ line, code, message }: LineError): void {
    this.count++;
    if (this.kept.length < KEPT_MAX) this.kept.push({ line, code, message });
  }

  /** The exit code of the first line that failed. */
  get exit(): ExitCode {
    const code = this.kept[0]?.code;
    if (code === undefined) return EXIT.done;
    return Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].exit : EXIT.internal;
  }

  /** Reports them on standard error, one line each. */
  tell(): void {
    for (const { line, code, message } of this.kept) note(`line ${line}: ${code} ${message}`);
    const more = this.count - this.kept.length;
    if (more > 0) note(`and ${more} more`);
  }
}
