/** The only place that uses standard output, standard error and exit codes. */
import { CommanderError } from 'commander';
import { EncServerError, EXIT, type ExitCode, toEncServerError } from '../errors.ts';
import { fileError } from '../file-error.ts';
import { endWithoutTerminal } from './signals.ts';

const LOST = 'the disk behind it may be full, or the reader of the pipe gone';

/**
 * Writes all bytes to standard output; resolves when they are handed over. A reader that closes
 * early, such as `head`, has all it wants. Rejects with `FILE_ERROR`.
 */
export async function print(bytes: string | Uint8Array): Promise<void> {
  await isTaken(bytes);
}

/**
 * As {@link print}, for output that must not get lost: a reader that is gone is also a
 * `FILE_ERROR`.
 */
export async function deliver(bytes: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(bytes, (cause) => {
      if (!cause) resolve();
      else reject(fileError('cannot write to', 'standard output', cause, LOST));
    });
  });
}

/** As {@link deliver}; resolves to whether somebody still reads. */
export async function isTaken(bytes: string | Uint8Array): Promise<boolean> {
  try {
    await deliver(bytes);
    return true;
  } catch (thrown) {
    if (causeCode(thrown) === 'EPIPE') return false;
    throw thrown;
  }
}

let help = '';

/** Takes help and version, which commander would write without waiting for {@link runProgram}. */
export function takeHelp(text: string): void {
  help += text;
}

/** Tells people something; never a result. */
export function note(words: string): void {
  process.stderr.write(`${words}\n`);
}

/**
 * Runs one program to its exit code. Errors are reported on standard error as one line with the
 * code and one with a hint, or as JSON.
 */
export async function runProgram(
  name: string,
  run: () => Promise<ExitCode>,
  json = false,
): Promise<ExitCode> {
  // Each write reports its own error; without these, the event would end the process.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  endWithoutTerminal();
  try {
    return await run().catch(printHelp);
  } catch (thrown) {
    const error = toEncServerError(thrown);
    tell(name, error, json);
    return error.row.exit;
  }
}

/** Commander ends so where help or version were asked for. */
async function printHelp(thrown: unknown): Promise<ExitCode> {
  if (!(thrown instanceof CommanderError) || thrown.exitCode !== 0) throw thrown;
  await print(help);
  return EXIT.done;
}

function tell(name: string, error: EncServerError, json: boolean): void {
  const { code, message, hint, cause } = error;
  if (json) note(JSON.stringify({ error: { code, message, hint } }));
  else note(`${name}: ${code} ${message}\n  hint: ${hint}`);
  // A defect of ours is shown with its stack, so that it can be reported.
  if (code === 'INTERNAL' && cause instanceof Error) note(String(cause.stack));
}

/** A mistake on the command line. */
export function usage(message: string, hint?: string): EncServerError {
  return new EncServerError('USAGE', message, { hint });
}

/** The system's code of an error, such as `EPIPE`. */
function causeCode(thrown: unknown): string | undefined {
  const cause = thrown instanceof EncServerError ? thrown.cause : undefined;
  return (cause as NodeJS.ErrnoException | undefined)?.code;
}
