/**
 * The configuration of a program: defaults, then the file, then the environment, then the command
 * line; the last one that gives a setting wins. Nothing else reads configuration.
 */

import { EncServerError } from '../errors.ts';
import { readEnvironment } from './environment.ts';
import { type FileLayer, readConfigFile } from './file.ts';
import { gives, type Layer, merge, placeOf, put } from './layer.ts';
import { absolutePath, keyringFile, PACKAGED_CONFIG, stateFolder, tokensFile } from './paths.ts';
import { configSchema, factsOf, type Issue, type ParsedConfig } from './schema.ts';

type Frozen<T> = { readonly [K in keyof T]: T[K] extends object ? Frozen<T[K]> : T[K] };

const BE = 'beServerConfigs';

/** All settings, checked and complete. All paths are absolute. */
export type Config = Frozen<Omit<ParsedConfig, 'log'>> & { readonly log: LogSection };

/** `dir` is empty if no files are to be written. */
export type LogSection = Frozen<ParsedConfig['log']> & {
  /** Whether `stdout` was set explicitly, rather than left at its default. */
  readonly stdoutGiven: boolean;
};

/** The settings that both servers have. */
export type ServerSection = Config['feServerConfigs'] | Config['beServerConfigs'];

/** Some settings, as a command line gives them: numbers and booleans may be strings. */
export type PartialConfig = {
  readonly [S in keyof ParsedConfig]?:
    | { readonly [K in keyof ParsedConfig[S]]?: string | number | boolean | undefined }
    | undefined;
};

export interface LoadOptions {
  /** `--config`: overrides `ENC_SERVER_TS_CONFIG_PATH` and the file of the package. */
  readonly file?: string | undefined;
  /**
   * The sections that it names are those that the program uses: what others give is not checked,
   * and they have their defaults. All are used if it is not given.
   */
  readonly flags?: PartialConfig;
  /** Default: the environment of this process. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface Loaded {
  readonly config: Config;
  /** The file that was read. */
  readonly file: string | undefined;
  /** For the log, or for people: not errors, but possibly not what was meant. */
  readonly warnings: readonly string[];
}

/**
 * Reads the configuration, and checks its names and the sections that are used. The result is frozen.
 * @throws EncServerError `BAD_CONFIG`, with the place of each setting that is wrong. No value
 * is ever in the message: it may be a secret, or a secret in the wrong place.
 */
export async function loadConfig(options: LoadOptions = {}): Promise<Loaded> {
  const env = options.env ?? process.env;
  const settings = commandLine(options.flags ?? {});
  const isUsed = (section: string) => options.flags === undefined || section in options.flags;
  const wants = (section: string, key: string) => isUsed(section) && !gives(settings, section, key);
  const environment = await readEnvironment(env, wants);
  const named = options.file ?? environment.configPath;
  const file = named ?? PACKAGED_CONFIG;
  const fileLayer = await readLayer(file, named === undefined);
  const layers = [...(fileLayer ? [fileLayer] : []), environment, settings];
  const config = freeze(complete(check(layers, isUsed), layers, env));
  const warnings = [...(fileLayer?.warnings ?? []), ...environment.warnings];
  if (isUsed(BE) && config.beServerConfigs.store !== 'mongo') warnings.push(...unusedMongo(layers));
  return { config, file: fileLayer && file, warnings };
}

/** Only the file of the package may be missing, as nobody asked for it. */
async function readLayer(file: string, mayBeMissing: boolean): Promise<FileLayer | undefined> {
  try {
    return await readConfigFile(file);
  } catch (thrown) {
    const cause = thrown instanceof EncServerError ? thrown.cause : undefined;
    if (mayBeMissing && (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return;
    throw thrown;
  }
}

function commandLine(flags: PartialConfig): Layer {
  const place = (section: string, key: string) => `command line: ${section}.${key}`;
  return { settings: flags as Layer['settings'], place };
}

function check(layers: readonly Layer[], isUsed: (section: string) => boolean): ParsedConfig {
  const merged = merge(layers);
  if (meansMongo(layers)) put(merged, BE, 'store', 'mongo');
  // What is wrong in settings that nobody reads must stop nobody.
  for (const section of Object.keys(merged)) if (!isUsed(section)) delete merged[section];
  const result = configSchema.safeParse(merged);
  if (result.success) return result.data;
  const complaints = result.error.issues.map((issue) => complaintOf(issue, layers));
  throw new EncServerError('BAD_CONFIG', complaints.join('; '));
}

/** zod's own messages could quote the value; those of the schema (`custom`) never do. */
function complaintOf(issue: Issue, layers: readonly Layer[]): string {
  const [section = '', key = ''] = issue.path.map(String);
  const place = placeOf(layers, section, key) ?? `${section}.${key}`;
  if (issue.code === 'custom') return `${place}: ${issue.message}`;
  return `${place}: expected ${factsOf(section, key)?.expects ?? 'known settings only'}`;
}

/**
 * The family's files have a `mongoURI` and no `store`, and mean MongoDB. The last layer that gives
 * either decides, so that both `--store level` and `--mongo-uri` override a file.
 */
function meansMongo(layers: readonly Layer[]): boolean {
  const last = lastOfStore(layers);
  return last !== undefined && !gives(last, BE, 'store');
}

/** A layer that gives both contradicts itself; one above a `mongoURI` overrides it on purpose. */
function unusedMongo(layers: readonly Layer[]): string[] {
  const last = lastOfStore(layers);
  if (last === undefined || !gives(last, BE, 'mongoURI')) return [];
  return [`${last.place(BE, 'mongoURI')} is ignored: ${last.place(BE, 'store')} is not mongo`];
}

function lastOfStore(layers: readonly Layer[]): Layer | undefined {
  return layers.findLast((layer) => gives(layer, BE, 'store') || gives(layer, BE, 'mongoURI'));
}

/** Fills in what depends on other settings or on the machine. */
function complete(parsed: ParsedConfig, layers: readonly Layer[], env: NodeJS.ProcessEnv): Config {
  const folder = (dataDir: string) =>
    dataDir === '' ? stateFolder(env) : absolutePath(dataDir, env);
  const { feServerConfigs: fe, beServerConfigs: be, log } = parsed;
  const feDataDir = folder(fe.dataDir);
  const beDataDir = folder(be.dataDir);
  const keyring = fe.keyring === '' ? keyringFile(feDataDir) : absolutePath(fe.keyring, env);
  const files = <T extends NamedFiles>(section: T) => withAbsoluteFiles(section, env);
  const tokens = (path: string, dataDir: string, role: 'fe' | 'be') =>
    path === '' ? tokensFile(dataDir, role) : absolutePath(path, env);
  return {
    ...parsed,
    feClientConfigs: files(parsed.feClientConfigs),
    beClientConfigs: files(parsed.beClientConfigs),
    feServerConfigs: {
      ...files(fe),
      dataDir: feDataDir,
      keyring,
      keyringTransitCa: fe.keyringTransitCa === '' ? '' : absolutePath(fe.keyringTransitCa, env),
      tokens: tokens(fe.tokens, feDataDir, 'fe'),
    },
    beServerConfigs: {
      ...files(be),
      dataDir: beDataDir,
      tokens: tokens(be.tokens, beDataDir, 'be'),
    },
    log: {
      ...log,
      dir: log.dir === '' ? '' : absolutePath(log.dir, env),
      stdoutGiven: layers.some((layer) => gives(layer, 'log', 'stdout')),
    },
  };
}

interface NamedFiles {
  readonly tlsCert: string;
  readonly tlsKey: string;
  readonly tlsCa?: string;
  readonly tlsClientCa?: string;
  readonly auditLog?: string;
  readonly auditKeyFile?: string;
  readonly auditCheckpoints?: string;
}

const FILES = [
  'tlsCert',
  'tlsKey',
  'tlsCa',
  'tlsClientCa',
  'auditLog',
  'auditKeyFile',
  'auditCheckpoints',
] as const;

function withAbsoluteFiles<T extends NamedFiles>(section: T, env: NodeJS.ProcessEnv): T {
  const absolute = { ...section };
  for (const key of FILES) {
    const path = section[key];
    if (path) Object.assign(absolute, { [key]: absolutePath(path, env) });
  }
  return absolute;
}

function freeze(config: Config): Config {
  for (const section of Object.values(config)) Object.freeze(section);
  return Object.freeze(config);
}
