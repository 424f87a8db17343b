/** The flags of the servers, and the settings that they stand for. */
import { type Command, Option } from 'commander';
import type { PartialConfig } from '../config/load.ts';
import { address, given, port } from './command-line.ts';

export interface ServerFlags {
  readonly config?: string;
  readonly host?: string;
  readonly port?: string;
  readonly fePort?: string;
  readonly bePort?: string;
  readonly be?: string;
  readonly dataDir?: string;
  readonly keyring?: string;
  readonly store?: string;
  readonly mongoUri?: string;
  readonly allowOpen?: boolean;
}

export function addSharedFlags(command: Command): Command {
  return command
    .option('--host <host>', 'where to listen (default: loopback, v4 and v6)', given)
    .option('--data-dir <folder>', 'where records and keyring are kept', given)
    .option('--allow-open', 'listen beyond loopback without authentication, on purpose');
}

export function addBeFlags(command: Command): Command {
  const kinds = new Option('--store <kind>', 'an embedded folder, memory only, or MongoDB');
  return command
    .addOption(kinds.choices(['level', 'memory', 'mongo']))
    .option('--mongo-uri <uri>', 'MongoDB connection string; visible in the process list', given);
}

export function addFeFlags(command: Command): Command {
  return command.option('--keyring <file>', 'the keyring (default: in the data folder)', given);
}

export function addPortFlag(command: Command, defaultPort: number): Command {
  return command.option('--port <port>', `port (default: ${defaultPort})`, port);
}

export function addBackEndFlag(command: Command): Command {
  return command.option('--be <address>', 'the back end (default: localhost:8888)', address);
}

export function beSettings(flags: ServerFlags): PartialConfig['beServerConfigs'] {
  return {
    host: flags.host,
    port: flags.bePort ?? flags.port,
    dataDir: flags.dataDir,
    allowOpen: flags.allowOpen,
    store: flags.store,
    mongoURI: flags.mongoUri,
  };
}

export function feSettings(flags: ServerFlags): PartialConfig['feServerConfigs'] {
  return {
    host: flags.host,
    port: flags.fePort ?? flags.port,
    dataDir: flags.dataDir,
    keyring: flags.keyring,
    allowOpen: flags.allowOpen,
  };
}
