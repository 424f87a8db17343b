/** What `fe-client` and `be-client` have in common. */
import type { Command } from 'commander';
import type { Config } from '../config/load.ts';
import type { ExitCode } from '../errors.ts';
import { parseAddress } from '../net/client.ts';
import type { Address } from '../net/lane.ts';
import { FRAME_BYTES_CEILING } from '../protocol/limits.ts';
import { addConfigFlag, address, duration, parse, program } from './command-line.ts';
import { note, print, runProgram } from './terminal.ts';

interface SharedFlags {
  readonly config?: string;
  readonly server?: string;
  readonly json?: boolean;
  readonly timeout?: string;
}

/** Where and how a client command calls, all of it checked. */
export interface ClientSetting {
  readonly address: Address;
  readonly timeoutMs: number;
  /** Whatever the server's maximum is, its records are taken. */
  readonly frameBytesMax: number;
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
  readonly addFlags: (command: Command) => void;
  /** Throws for what is wrong with the flags, before anything is read or connected. */
  readonly check: (flags: F) => void;
  readonly run: (flags: F, setting: ClientSetting) => Promise<ExitCode>;
}

/** One client program: its subcommands, and the trial when there is none. */
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
      // What follows a subcommand is its own: `--record -V` is a record.
      .enablePositionalOptions()
      .action((flags: SharedFlags) => {
        this.#run = async () => await trial(await this.#setting(flags));
      });
  }

  add<F>(command: ClientCommand<F>): void {
    const sub = this.#command.command(command.name).description(command.about);
    sub.requiredOption('--id <id>', 'the ID, in UTF-8');
    command.addFlags(sub);
    addSharedFlags(addConfigFlag(sub)).action((own: F & SharedFlags) => {
      const flags = { ...this.#command.opts<SharedFlags>(), ...own };
      command.check(flags);
      this.#run = async () => await command.run(flags, await this.#setting(flags));
    });
  }

  run(argv: readonly string[]): Promise<ExitCode> {
    const start = async () => {
      parse(this.#command, argv);
      return await (this.#run as () => Promise<ExitCode>)();
    };
    // Looked for by hand, so that a mistake on the command line is told as JSON, too.
    return runProgram(this.#command.name(), start, argv.includes('--json'));
  }

  async #setting(flags: SharedFlags): Promise<ClientSetting> {
    // Loaded when it is needed: help and mistakes on the command line are told without.
    const { loadConfig } = await import('../config/load.ts');
    const { config, warnings } = await loadConfig({
      file: flags.config,
      flags: { [this.#section]: { serverAddr: flags.server, timeoutMs: flags.timeout } },
    });
    for (const words of warnings) note(`${this.#command.name()}: ${words}`);
    const { serverAddr, timeoutMs } = config[this.#section];
    return {
      address: parseAddress(serverAddr),
      timeoutMs,
      frameBytesMax: FRAME_BYTES_CEILING - 1,
      trial: config.testParams,
      json: flags.json ?? false,
      result: async (text, fields) => {
        await print(`${flags.json ? JSON.stringify(fields) : text}\n`);
      },
    };
  }
}

function addSharedFlags(command: Command): Command {
  return command
    .option('--server <address>', 'the server, HOST:PORT', address)
    .option('--timeout <time>', 'longest time for an answer, such as 500ms or 10s', duration)
    .option('--json', 'print results and errors as JSON');
}
