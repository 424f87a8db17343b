/** How every command line is read: the common flags, and our own messages for mistakes. */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { Config, LoadOptions } from '../config/load.ts';
import { nearest } from '../config/nearest.ts';
import { parseDurationMs } from '../config/quantity.ts';
import { type EncServerError, EXIT, type ExitCode } from '../errors.ts';
import { parseAddress } from '../net/client.ts';
import { VERSION } from '../version.ts';
import { note, runProgram, takeHelp, usage } from './terminal.ts';

/** Anything longer is not a typing mistake, and may be a secret in the wrong place. */
const NAME_SHOWN_MAX = 24;

/** A command with the flags that every program has. */
export function program(name: string, description: string): Command {
  return addConfigFlag(bare(name, description));
}

/** Takes the work to be done once the command line has been read. */
export type Plan = (run: () => Promise<ExitCode>) => void;

/** A command that does nothing without a subcommand: all flags belong to its subcommands. */
export class CommandGroup {
  readonly command: Command;
  /** Pass this to the action of a subcommand. */
  readonly plan: Plan = (run) => {
    this.#planned = run;
  };
  #planned: (() => Promise<ExitCode>) | undefined;

  constructor(name: string, description: string) {
    this.command = bare(name, description).helpCommand(true).enablePositionalOptions();
  }

  /** Runs what the subcommand planned, or shows the help if there was none. */
  run(argv: readonly string[]): Promise<ExitCode> {
    const start = async () => {
      parse(this.command, argv);
      if (this.#planned !== undefined) return await this.#planned();
      note(this.command.helpInformation());
      return EXIT.usage;
    };
    return runProgram(this.command.name(), start, argv.includes('--json'));
  }
}

function bare(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(VERSION)
    .exitOverride()
    .configureOutput({ writeOut: takeHelp, outputError: () => undefined });
}

export function addConfigFlag(command: Command): Command {
  const about = 'configuration file (JSON or YAML); see docs/CONFIG.md';
  return command.option('--config <file>', about, given);
}

/**
 * Reads the arguments. Throws `USAGE` for a mistake, or commander's own error with exit code 0 if
 * help or version were requested; {@link runProgram} prints them.
 */
export function parse(command: Command, argv: readonly string[]): void {
  try {
    command.parse([...argv], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError) || thrown.exitCode === 0) throw thrown;
    const [name, asked] = command.args;
    const isWord = name !== undefined && !name.startsWith('-');
    const names = command.commands.map((sub) => sub.name());
    // It has shown the commands by then.
    if (thrown.code === 'commander.help') {
      throw asked === undefined ? usage('no command was given') : noCommand(asked, names);
    }
    // For an unknown command, commander would complain about unknown flags.
    if (isWord && names.length > 0 && !names.includes(name)) throw noCommand(name, names);
    throw mistake(thrown);
  }
}

/** `USAGE` for an unknown command, with the nearest known one. */
export function noCommand(name: string, known: readonly string[]): EncServerError {
  if (name.length > NAME_SHOWN_MAX) return usage('no such command');
  return usage(`no command ${name}`, `did you mean ${nearest(name, known)}? see --help`);
}

/** Commander's message: `error: …`, then perhaps `(Did you mean …?)` on a line of its own. */
function mistake(error: CommanderError): EncServerError {
  const [first = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  // `--kye=HEX` would show the key.
  const message = first.replace(/^(unknown option '[^=']{0,30})[^']*'$/, "$1'");
  const meant = suggestion?.replace(/^\((Did.*\?)\)$/, '$1').replace('Did', 'did');
  return usage(message, meant === undefined ? undefined : `${meant} see --help`);
}

/** All settings; warnings are printed under the name `command`. Rejects with `BAD_CONFIG`. */
export async function loadFor(command: string, options: LoadOptions): Promise<Config> {
  // Loaded when needed: help and mistakes on the command line do not need it.
  const { loadConfig } = await import('../config/load.ts');
  const { config, warnings } = await loadConfig(options);
  for (const words of warnings) note(`${command}: ${words}`);
  return config;
}

/** A non-empty text: an unset shell variable must not mean "the default". */
export function given(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.');
  return text;
}

/** A port, 0 for any free one. */
export function port(text: string): string {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return text;
  throw new InvalidArgumentError('A port is a whole number from 0 to 65535.');
}

/** `HOST:PORT`, `[v6]:PORT`, or `:PORT` for this machine. */
export function address(text: string): string {
  try {
    parseAddress(text);
    return text.startsWith(':') ? `localhost${text}` : text;
  } catch {
    throw new InvalidArgumentError('Write HOST:PORT.');
  }
}

/** Milliseconds, or a time such as `10s`. */
export function duration(text: string): string {
  if ((parseDurationMs(text) ?? 0) > 0) return text;
  throw new InvalidArgumentError('Write milliseconds, or a time such as 10s.');
}

/** A revision: 8 bytes as 16 hexadecimal digits. */
export function revision(text: string): string {
  if (/^[0-9a-f]{16}$/i.test(text)) return text;
  throw new InvalidArgumentError('A revision has 16 hexadecimal digits.');
}

/**
 * Node reads arguments as UTF-8 and replaces invalid bytes by U+FFFD, so that different bytes
 * become the same text. Throws `USAGE`.
 */
export function checkUtf8(flag: string, text: string | undefined, instead: string): void {
  if (text?.includes('\ufffd')) {
    throw usage(`${flag} is not valid UTF-8`, instead);
  }
}

/** A path as a shell takes it. */
export function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
