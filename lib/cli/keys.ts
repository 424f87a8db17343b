/** `enc-server keys`: the keys that servers work with. */
import { EXIT, type ExitCode } from '../errors.ts';
import { addConfigFlag, CommandGroup, given, quoted } from './command-line.ts';
import { addLifeCommands } from './keys-life.ts';
import { note, print, usage } from './terminal.ts';

interface TlsInitFlags {
  readonly out: string;
  readonly host: readonly string[];
  readonly days: string;
  readonly renew?: boolean;
  readonly json?: boolean;
}

const DAYS_MAX = 3_650;

export function runKeys(argv: readonly string[]): Promise<ExitCode> {
  const group = new CommandGroup('enc-server keys', 'The keys that servers work with.');
  const { command, plan } = group;
  addConfigFlag(command.command('tls-init'))
    .description('make an authority and certificates for development')
    .requiredOption('--out <folder>', 'a new folder for them', given)
    .option('--host <name>', 'a name or address of the servers; may be repeated', collect, [])
    .option('--days <number>', 'how long the certificates are valid', '365')
    .option(
      '--renew',
      'issue new ones by the authority that is there; without --host, for the old hosts',
    )
    .option('--json', 'print results and errors as JSON')
    .action((flags: TlsInitFlags) => {
      const days = daysOf(flags.days);
      plan(() => tlsInit(flags, days));
    });
  addLifeCommands(command, plan);
  return group.run(argv);
}

async function tlsInit(flags: TlsInitFlags, days: number): Promise<ExitCode> {
  // Loaded when needed: it brings a library for certificates.
  const { initTls } = await import('./tls-init.ts');
  const { out, host: hosts, renew = false } = flags;
  const files = await initTls({ folder: out, hosts, days, renew });
  if (flags.json) await print(`${JSON.stringify({ files })}\n`);
  else await print(files.map((file) => `${file}\n`).join(''));
  const [folder, authority] = [quoted(out), quoted(`${out}/ca.pem`)];
  note(`servers: enc-server up --tls ${folder}   clients: --tls-ca ${authority}`);
  return EXIT.done;
}

function collect(value: string, others: readonly string[]): string[] {
  if (!/^[A-Za-z0-9.:*_-]{1,253}$/.test(value)) {
    throw usage('--host is no name and no address', 'write db.example or 192.0.2.7');
  }
  return [...others, value];
}

function daysOf(text: string): number {
  const days = Number(text);
  if (/^\d{1,4}$/.test(text) && days >= 1 && days <= DAYS_MAX) return days;
  throw usage(`--days is a whole number from 1 to ${DAYS_MAX}`);
}
