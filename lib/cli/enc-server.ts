/** `enc-server`: the umbrella over all commands. */
import { EXIT, type ExitCode } from '../errors.ts';
import { VERSION } from '../version.ts';
import { noCommand } from './command-line.ts';
import { note, print, runProgram } from './terminal.ts';

type Run = (argv: readonly string[]) => Promise<ExitCode>;

interface Entry {
  readonly about: string;
  readonly load: () => Promise<Run>;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  up: {
    about: 'start the back end and the front end',
    load: async () => (await import('./up.ts')).runUp,
  },
  'fe-server': {
    about: 'run the front end alone',
    load: async () => (await import('./server.ts')).runFeServer,
  },
  'be-server': {
    about: 'run the back end alone',
    load: async () => (await import('./server.ts')).runBeServer,
  },
  'fe-client': {
    about: 'store, retrieve and delete records',
    load: async () => (await import('./fe-client.ts')).runFeClient,
  },
  'be-client': {
    about: 'store, retrieve and delete opaque bytes at the back end',
    load: async () => (await import('./be-client.ts')).runBeClient,
  },
  status: {
    about: 'show the state of both servers',
    load: async () => (await import('./status.ts')).runStatus,
  },
  tokens: {
    about: 'make, list and revoke access tokens',
    load: async () => (await import('./tokens.ts')).runTokens,
  },
  backup: {
    about: 'back up what is stored, verify and restore it',
    load: async () => (await import('./backup.ts')).runBackup,
  },
  migrate: {
    about: 'import what other servers have stored',
    load: async () => (await import('./migrate.ts')).runMigrate,
  },
  keys: {
    about: 'change the keyring, and make certificates for TLS',
    load: async () => (await import('./keys.ts')).runKeys,
  },
  audit: {
    about: 'make the keys of an audit log, and verify one',
    load: async () => (await import('./audit.ts')).runAudit,
  },
};

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const rows = Object.entries(COMMANDS).map(
    ([name, { about }]) => `  ${name.padEnd(width)}  ${about}`,
  );
  return [
    'Usage: enc-server COMMAND [OPTIONS]',
    '',
    'A record-encryption service: every record sealed under a key that only its caller has.',
    '',
    'Commands:',
    ...rows,
    '',
    'enc-server COMMAND --help tells more about each.',
    '',
  ].join('\n');
}

/** Each command reads its own arguments; this only finds the command. */
export async function runEncServer(argv: readonly string[]): Promise<ExitCode> {
  let [name, ...rest] = argv;
  if (name === 'help' && rest[0] !== undefined) [name, rest] = [rest[0], ['--help']];
  const entry = name === undefined || !Object.hasOwn(COMMANDS, name) ? undefined : COMMANDS[name];
  const run = entry === undefined ? () => runUmbrella(name) : await entry.load();
  return await run(rest);
}

/** Handles everything that is not a command. */
function runUmbrella(name: string | undefined): Promise<ExitCode> {
  return runProgram('enc-server', async () => {
    if (name === '--version' || name === '-V') {
      await print(`${VERSION}\n`);
    } else if (name === '--help' || name === '-h' || name === 'help') {
      await print(help());
    } else if (name === undefined) {
      note(help());
      return EXIT.usage;
    } else {
      throw noCommand(name, Object.keys(COMMANDS));
    }
    return EXIT.done;
  });
}
