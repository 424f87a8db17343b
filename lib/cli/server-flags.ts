/** The flags of the servers, and the corresponding settings. */
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { PartialConfig } from '../config/load.ts';
import { STORE_KINDS } from '../config/store-kinds.ts';
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
  readonly workers?: string;
  readonly store?: string;
  readonly mongoUri?: string;
  readonly allowOpen?: boolean;
  readonly auth?: boolean;
  readonly tls?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
}

export function addSharedFlags(command: Command): Command {
  return command
    .option('--host <host>', 'where to listen (default: loopback, v4 and v6)', given)
    .option('--data-dir <folder>', 'where records and keyring are kept', given)
    .option('--allow-open', 'listen beyond loopback without authentication, on purpose')
    .option('--auth', 'callers need a token or a client certificate')
    .option('--tls <folder>', 'speak TLS, with the files of enc-server keys tls-init', given);
}

export function addBeFlags(command: Command): Command {
  const kinds = new Option('--store <kind>', 'an embedded folder, memory only, or MongoDB');
  return command
    .addOption(kinds.choices(STORE_KINDS))
    .option('--mongo-uri <uri>', 'MongoDB connection string; visible in the process list', given);
}

export function addFeFlags(command: Command): Command {
  return command
    .option('--keyring <file>', 'the keyring (default: in the data folder)', given)
    .option('--workers <count>', 'front-end processes on the port (default: 1)', given);
}

export function addPortFlag(command: Command, defaultPort: number): Command {
  return command.option('--port <port>', `port (default: ${defaultPort})`, port);
}

/** The files of one server, wherever they lie; each takes precedence over the one in `--tls`. */
export function addTlsFlags(command: Command): Command {
  return command
    .option('--tls-cert <path>', 'speak TLS with this certificate (PEM)', given)
    .option('--tls-key <path>', 'the private key of the certificate (PEM)', given)
    .option('--tls-client-ca <path>', 'the authority of client certificates (PEM)', given);
}

export function addBackEndFlag(command: Command): Command {
  return command.option('--be <address>', 'the back end (default: localhost:8888)', address);
}

export function beSettings(flags: ServerFlags): PartialConfig['beServerConfigs'] {
  return {
    host: flags.host,
    port: flags.bePort ?? flags.port,
    dataDir: flags.dataDir,
    ...access(flags, 'be'),
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
    workers: flags.workers,
    ...access(flags, 'fe'),
  };
}

/** How a front end finds its back end, and, over TLS, how it identifies itself. */
export function linkSettings(flags: ServerFlags): PartialConfig['beClientConfigs'] {
  const { tls } = flags;
  return {
    serverAddr: flags.be,
    tlsCa: tls && join(tls, 'ca.pem'),
    tlsCert: tls && join(tls, 'fe.pem'),
    tlsKey: tls && join(tls, 'fe.key'),
  };
}

function access(flags: ServerFlags, role: 'fe' | 'be') {
  const { allowOpen, auth, tls } = flags;
  return {
    allowOpen,
    // The front end is identified by its certificate, so that nobody else can use the back end.
    auth: auth || (tls !== undefined && role === 'be') ? 'required' : undefined,
    tlsCert: flags.tlsCert ?? (tls && join(tls, `${role}.pem`)),
    tlsKey: flags.tlsKey ?? (tls && join(tls, `${role}.key`)),
    tlsClientCa: flags.tlsClientCa ?? (tls && join(tls, 'ca.pem')),
  };
}
