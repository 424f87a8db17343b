/** What `fe-client` and `be-client` share. */
import type { Command } from 'commander';
import type { Config } from '../config/load.ts';
import type { ExitCode } from '../errors.ts';
import type { CallSettings } from '../net/call-settings.ts';
import { addTlsFlags, type CallFlags, callFlags, linkOf } from './call-flags.ts';
import {
  addConfigFlag,
  address,
  duration,
  given,
  loadFor,
  parse,
  program,
} from './command-line.ts';
import { print, runProgram } from './terminal.ts';

interface SharedFlags extends CallFlags {
  readonly config?: string;
  readonly json?: boolean;
}

/** Where and how a client command calls, with everything checked. */
export interface ClientSetting extends CallSettings {
  readonly timeoutMs: number;
  readonly trial: Config['testParams'];
  readonly json: boolean;
  /** Prints a result: `fields` as JSON under `--json`, else `text`. */
  readonly result: (text: string, fields: Record<string, unknown>) => Promise<void>;
}

type Section = 'feClientConfigs' | 'beClientConfigs';

/** One subcommand. */
export interface ClientCommand<F> {
  readonly name: string;
  readonly about: string;
  /** What it takes instead of `--id`: an argument such as `<file>`, or nothing. */
  readonly takes?: { readonly argument: string; readonly about: string } | 'nothing';
  readonly addFlags: (command: Command) => void;
  /** Throws for wrong flags, before anything is read or connected. */
  readonly check: (flags: F) => void;
  /** `argument` is the command's argument, if it takes one. */
  readonly run: (flags: F, setting: ClientSetting, argument: string) => Promise<ExitCode>;
}

/** One client program: its subcommands, and the trial if none is given. */
export class ClientProgram {
  readonly #command: Command;
  readonly #section: Section;
  #run: (() => Promise<ExitCode>) | undefined;

  constructor(
    name: string,
    description: string,
    section: Section,
    trial: (setting: ClientSetting) => Promise<ExitCode>,
  ) {
    this.#section = section;
    this.#command = addSharedFlags(program(name, description))
      .usage('[options] [command]')
      .helpCommand(true)
      // Whatever follows a subcommand belongs to it: `--record -V` is a record.
      .enablePositionalOptions()
      .action((flags: SharedFlags) => {
        this.#run = async () => await trial(await this.#setting(flags));
      });
  }

  add<F>(command: ClientCommand<F>): void {
    const sub = this.#command.command(command.name).description(command.about);
    const { takes } = command;
    if (takes === undefined) sub.requiredOption('--id <id>', 'the ID, in UTF-8');
    else if (takes !== 'nothing') sub.argument(takes.argument, takes.about, given);
    command.addFlags(sub);
    addSharedFlags(addConfigFlag(sub)).action(() => {
      const flags = { ...this.#command.opts<SharedFlags>(), ...sub.opts<F & SharedFlags>() };
      const [argument = ''] = sub.processedArgs;
      command.check(flags);
      this.#run = async () => await command.run(flags, await this.#setting(flags), argument);
    });
  }

  run(argv: readonly string[]): Promise<ExitCode> {
    const start = async () => {
      parse(this.#command, argv);
      return await (this.#run as () => Promise<ExitCode>)();
    };
    // Looked for by hand, so that mistakes on the command line are also reported as JSON.
    return runProgram(this.#command.name(), start, argv.includes('--json'));
  }

  async #setting(flags: SharedFlags): Promise<ClientSetting> {
    const config = await loadFor(this.#command.name(), {
      file: flags.config,
      flags: { [this.#section]: await callFlags(flags), testParams: {} },
    });
    return {
      ...linkOf(config[this.#section]),
      trial: config.testParams,
      json: flags.json ?? false,
      result: async (text, fields) => {
        await print(`${flags.json ? JSON.stringify(fields) : text}\n`);
      },
    };
  }
}

function addSharedFlags(command: Command): Command {
  command
    .option('--server <address>', 'the server, HOST:PORT', address)
    .option('--timeout <time>', 'longest time for an answer, such as 500ms or 10s', duration)
    .option('--token-file <path>', 'a file with the access token', given)
    .option('--tls', 'call over TLS, trusting the authorities of the system');
  return addTlsFlags(command)
    .option('--tls-server-name <name>', "the name in the server's certificate", given)
    .option('--json', 'print results and errors as JSON');
}
