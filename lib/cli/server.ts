/** `be-server` and `fe-server`: one server in the foreground. */
import type { Command } from 'commander';
import type { ExitCode } from '../errors.ts';
import { parse, program } from './command-line.ts';
import { preload, type Role, serveUntilSignal } from './serve.ts';
import {
  addBackEndFlag,
  addBeFlags,
  addFeFlags,
  addPortFlag,
  addSharedFlags,
  addTlsFlags,
  beSettings,
  feSettings,
  linkSettings,
  type ServerFlags,
} from './server-flags.ts';
import { print, runProgram } from './terminal.ts';

export function runBeServer(argv: readonly string[]): Promise<ExitCode> {
  const command = program('be-server', 'The back end: keeps sealed records, can read none.');
  addPortFlag(addBeFlags(addTlsFlags(addSharedFlags(command))), 8888);
  return runServer('be', command, argv);
}

export function runFeServer(argv: readonly string[]): Promise<ExitCode> {
  const command = program('fe-server', 'The front end: seals and opens records, keeps none.');
  addBackEndFlag(addPortFlag(addFeFlags(addTlsFlags(addSharedFlags(command))), 7777));
  return runServer('fe', command, argv);
}

function runServer(role: Role, command: Command, argv: readonly string[]): Promise<ExitCode> {
  return runProgram(command.name(), async () => {
    parse(command, argv);
    const flags = command.opts<ServerFlags>();
    preload(role).catch(() => undefined);
    const settings =
      role === 'be'
        ? { beServerConfigs: beSettings(flags), log: {} }
        : { feServerConfigs: feSettings(flags), beClientConfigs: linkSettings(flags), log: {} };
    // Loaded when needed: help and mistakes on the command line do not need it.
    const { loadConfig } = await import('../config/load.ts');
    const { config, warnings } = await loadConfig({ file: flags.config, flags: settings });
    return await serveUntilSignal(role, config, warnings, print);
  });
}
