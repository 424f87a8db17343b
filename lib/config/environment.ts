/** Environment variables as a configuration layer. */

import { EncServerError } from '../errors.ts';
import { emptyRecord, type Layer, put, type Settings } from './layer.ts';
import { nearest } from './nearest.ts';
import { factsOf, keysOf, SECTION_NAMES } from './schema.ts';
import { readSecretFile } from './text-file.ts';

const PREFIX = 'ENC_SERVER_TS_';

/** Variables that are not single settings, for `docs/CONFIG.md`. */
export const OTHER_VARIABLES = {
  ENC_SERVER_TS_CONFIG_PATH: 'The configuration file, where no `--config` is given.',
  ENC_SERVER_TS_ALLOW_OPEN: '`allowOpen` of both servers.',
  ENC_SERVER_TS_KEY: 'The record key for `fe-client`.',
  ENC_SERVER_TS_TOKEN_FILE:
    'A file with the access token of `fe-client`. A back end never gets it: for its commands there is ' +
    '`ENC_SERVER_TS_BECLIENTCONFIGS_TOKEN_FILE`.',
  ENC_SERVER_TS_TLS_CA: '`tlsCa` of both clients.',
} as const;

const CONFIG_PATH = 'ENC_SERVER_TS_CONFIG_PATH';
const ALLOW_OPEN = 'ENC_SERVER_TS_ALLOW_OPEN';
const TLS_CA = 'ENC_SERVER_TS_TLS_CA';
const TOKEN = 'ENC_SERVER_TS_TOKEN';
const CLIENTS = ['feClientConfigs', 'beClientConfigs'] as const;
const SERVERS = ['feServerConfigs', 'beServerConfigs'] as const;

/** What Kubernetes sets in every pod for a service whose name begins with ours. */
const SERVICE_LINK = /_SERVICE_(?:HOST|PORT)(?:_\w+)?$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?$/;
const SERVICE_ADDRESS = /^(?:tcp|udp|sctp):\/\//;

export interface EnvironmentLayer extends Layer {
  /** The configuration file that a variable names. */
  readonly configPath: string | undefined;
  /** Variables that look like ours but mean nothing. */
  readonly warnings: readonly string[];
}

/** The variable of a setting. A secret may also come from a file named by `<variable>_FILE`. */
export function variableOf(section: string, key: string): string {
  return `${PREFIX}${section}_${key}`.toUpperCase();
}

/**
 * Reads all settings that the environment gives; the files of secrets only where `wants` says so.
 * @throws EncServerError `BAD_CONFIG` for a secret's file that cannot be read or is empty, or that
 *   is given together with the secret itself.
 */
export async function readEnvironment(
  env: NodeJS.ProcessEnv,
  wants: (section: string, key: string) => boolean = () => true,
): Promise<EnvironmentLayer> {
  const settings: Settings = emptyRecord();
  const places = new Map<string, string>();
  const known = new Set<string>(Object.keys(OTHER_VARIABLES));
  const take = (variable: string, section: string, key: string, value: string | undefined) => {
    known.add(variable);
    if (value === undefined) return;
    put(settings, section, key, value);
    places.set(`${section}.${key}`, variable);
  };

  for (const server of SERVERS) take(ALLOW_OPEN, server, 'allowOpen', env[ALLOW_OPEN] || undefined);
  for (const client of CLIENTS) take(TLS_CA, client, 'tlsCa', env[TLS_CA] || undefined);
  const takeSecret = async (variable: string, section: string, key: string) => {
    const variables = [variable, variableOf(section, key), `${variableOf(section, key)}_FILE`];
    const secret = wants(section, key) ? await readSecret(variable, variables, env) : undefined;
    take(`${variable}_FILE`, section, key, secret);
  };
  await takeSecret(TOKEN, 'feClientConfigs', 'token');
  for (const section of SECTION_NAMES) {
    for (const key of keysOf(section)) {
      const facts = factsOf(section, key);
      const variable = variableOf(section, key);
      const value = env[variable];
      take(variable, section, key, facts?.emptyIsValue ? value : value || undefined);
      if (facts?.secret === undefined) continue;
      await takeSecret(variable, section, key);
    }
  }
  return {
    settings,
    configPath: env[CONFIG_PATH] || undefined,
    warnings: unknownVariables(env, known),
    place: (section, key) => `${places.get(`${section}.${key}`)} (${section}.${key})`,
  };
}

/** `variables` are all that give this secret, or its file. */
async function readSecret(
  variable: string,
  variables: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const fileVariable = `${variable}_FILE`;
  const path = env[fileVariable];
  if (!path) return undefined;
  const other = variables.find((one) => one !== fileVariable && env[one]);
  if (other !== undefined) {
    throw new EncServerError('BAD_CONFIG', `${other} and ${fileVariable} are both given`);
  }
  const name = `${path} (${fileVariable})`;
  const secret = await readSecretFile(path, name);
  if (secret === '') throw new EncServerError('BAD_CONFIG', `${name}: it is empty`);
  return secret;
}

function unknownVariables(env: NodeJS.ProcessEnv, known: ReadonlySet<string>): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !known.has(name))
    .filter((name) => !isServiceLink(name, env[name] ?? ''))
    .sort()
    .map((name) => `${name} is no setting; the nearest is ${nearest(name, [...known])}`);
}

function isServiceLink(name: string, value: string): boolean {
  return SERVICE_LINK.test(name) || (name.endsWith('_PORT') && SERVICE_ADDRESS.test(value));
}
