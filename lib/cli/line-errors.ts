/** What went wrong with the lines of a file, and what a command that goes through it ends with. */
import { ERRORS, type ErrorCode, EXIT, type ExitCode } from '../errors.ts';
import { note } from './terminal.ts';

export interface LineError {
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

/** A file may have a fault in every line: more are only counted. */
const KEPT_MAX = 1_000;

export class LineErrors {
  /** The first ones. */
  readonly kept: LineError[] = [];
  count = 0;

  add({ line, code, message }: LineError): void {
    this.count++;
    if (this.kept.length < KEPT_MAX) this.kept.push({ line, code, message });
  }

  /** That of the first line that failed. */
  get exit(): ExitCode {
    const code = this.kept[0]?.code;
    if (code === undefined) return EXIT.done;
    return Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].exit : EXIT.internal;
  }

  /** A line each, on standard error. */
  tell(): void {
    for (const { line, code, message } of this.kept) note(`line ${line}: ${code} ${message}`);
    const more = this.count - this.kept.length;
    if (more > 0) note(`and ${more} more`);
  }
}
