/** The servers that are measured: ours, and those of others if they are installed. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { encodeRequest } from '../../lib/protocol/frame.ts';
import { OPCODE } from '../../lib/protocol/messages.ts';
import { Child, freePort, type Running } from './processes.ts';

const HOST = '127.0.0.1';
const BIN = (name: string) => fileURLToPath(new URL(`../../bin/${name}.js`, import.meta.url));
const ECHO = fileURLToPath(new URL('../echo.js', import.meta.url));
const PAIR = (name: string) => fileURLToPath(new URL(`../pair/${name}.js`, import.meta.url));
/** As our own servers collect garbage. */
const PAIR_FLAGS = ['--no-parallel-scavenge', '--heap-growing-percent=600'];

/** Our servers, and how long each took from its start to its first answer, in milliseconds. */
export interface OursRunning extends Running {
  readonly startMs: { readonly fe: number; readonly be: number };
}

/** Room for ten thousand connections from one address, and some more besides. */
const CONNECTIONS_MAX = '12000';

/**
 * Both of our servers.
 *
 * @param mongoUri keeps records there; otherwise in the embedded store
 * @param nodeFlags Node's flags for each of the two
 */
export async function startOurs(
  folder: string,
  mongoUri?: string,
  nodeFlags: (role: 'fe' | 'be') => readonly string[] = () => [],
): Promise<OursRunning> {
  const store =
    mongoUri === undefined
      ? { ENC_SERVER_TS_BESERVERCONFIGS_STORE: 'level' }
      : {
          ENC_SERVER_TS_BESERVERCONFIGS_STORE: 'mongo',
          ENC_SERVER_TS_BESERVERCONFIGS_MONGOURI: mongoUri,
          ENC_SERVER_TS_BESERVERCONFIGS_MONGODATABASE: `bench-${process.pid}`,
        };
  const env = {
    ...process.env,
    ENC_SERVER_TS_LOG_DIR: '',
    ENC_SERVER_TS_LOG_STDOUT: 'false',
    ENC_SERVER_TS_FESERVERCONFIGS_CONNECTIONSMAX: CONNECTIONS_MAX,
    ENC_SERVER_TS_FESERVERCONFIGS_CONNECTIONSPERADDRESSMAX: CONNECTIONS_MAX,
    ...store,
  };
  const dataDir = ['--data-dir', folder, '--port', '0'];
  const startedAt = performance.now();
  const be = new Child(process.execPath, [...nodeFlags('be'), BIN('be-server'), ...dataDir], {
    env,
  });
  const bePort = await be.until(portIn);
  await answer(bePort);
  const beMs = performance.now() - startedAt;
  const link = { ENC_SERVER_TS_BECLIENTCONFIGS_SERVERADDR: `${HOST}:${bePort}` };
  const feStartedAt = performance.now();
  const fe = new Child(process.execPath, [...nodeFlags('fe'), BIN('fe-server'), ...dataDir], {
    env: { ...env, ...link },
  });
  const port = await fe.until(portIn);
  await answer(port);
  const feMs = performance.now() - feStartedAt;
  return {
    target: { protocol: 'frames', host: HOST, port },
    processes: { fe: fe.pid, be: be.pid },
    startMs: { fe: feMs, be: beMs },
    async stop() {
      await fe.stop();
      await be.stop();
    },
  };
}

/** Resolves once a server answers PING. */
async function answer(port: number): Promise<void> {
  const socket = connect({ host: HOST, port });
  socket.write(Buffer.concat(encodeRequest(OPCODE.PING, 1, [])));
  await once(socket, 'data');
  socket.destroy();
}

function portIn(said: string): number | undefined {
  const port = /listening on \S+:(\d+)/.exec(said)?.[1];
  return port === undefined ? undefined : Number(port);
}

/** Sends every byte back. */
export async function startEcho(): Promise<Running> {
  const child = new Child(process.execPath, [ECHO]);
  const port = await child.until(portIn);
  return {
    target: { protocol: 'echo', host: HOST, port },
    processes: { echo: child.pid },
    stop: () => child.stop(),
  };
}

/**
 * Two processes that only seal, pass on and write.
 *
 * @param front `front` for frames, `http-front` for `/data`
 */
export async function startPair(
  folder: string,
  front: 'front' | 'http-front' = 'front',
): Promise<Running> {
  const second = new Child(process.execPath, [...PAIR_FLAGS, PAIR('back'), folder]);
  const secondPort = await second.until(portIn);
  const first = new Child(process.execPath, [...PAIR_FLAGS, PAIR(front), `${secondPort}`]);
  const port = await first.until(portIn);
  return {
    target: { protocol: front === 'front' ? 'frames' : 'http', host: HOST, port },
    processes: { front: first.pid, back: second.pid },
    async stop() {
      await first.stop();
      await second.stop();
    },
  };
}

/** Every write is on disk before it is answered. Undefined if Redis is not installed. */
export async function startRedis(folder: string): Promise<Running | undefined> {
  const program = programOf('redis-server', ['/usr/bin', '/usr/local/bin']);
  if (program === undefined) return undefined;
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const settings = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];
  const args = ['--bind', HOST, '--port', `${port}`, '--dir', folder, ...settings];
  const child = new Child(program, args);
  await child.until((said) => (said.includes('Ready to accept connections') ? true : undefined));
  return {
    target: { protocol: 'redis', host: HOST, port },
    processes: { redis: child.pid },
    stop: () => child.stop(),
  };
}

/**
 * With pgcrypto and default settings (`fsync`, `synchronous_commit` on). Undefined if PostgreSQL is
 * not installed.
 */
export async function startPostgres(folder: string): Promise<Running | undefined> {
  const bin = postgresFolder();
  if (bin === undefined) return undefined;
  mkdirSync(folder, { recursive: true });
  // PostgreSQL does not run as root.
  const user = process.getuid?.() === 0 ? userOf('postgres') : {};
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid ?? user.uid);
  const data = join(folder, 'data');
  const options = { stdio: 'pipe', ...user } as const;
  execFileSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8'],
    options,
  );
  const port = await freePort();
  const args = ['-D', data, '-h', HOST, '-p', `${port}`, '-k', folder, '-c', 'max_connections=300'];
  const child = new Child(join(bin, 'postgres'), args, user);
  await child.until(async () => {
    const client = new Client({ host: HOST, port, user: 'bench', database: 'postgres' });
    try {
      await client.connect();
      await client.query('CREATE EXTENSION pgcrypto');
      await client.query('CREATE TABLE records (id bytea PRIMARY KEY, iv bytea, data bytea)');
      return true;
    } catch {
      return undefined;
    } finally {
      await client.end().catch(() => undefined);
    }
  });
  return {
    target: { protocol: 'postgres', host: HOST, port },
    processes: { postgres: child.pid },
    stop: () => child.stop(),
  };
}

function programOf(name: string, folders: readonly string[]): string | undefined {
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function postgresFolder(): string | undefined {
  const versions = '/usr/lib/postgresql';
  const found = existsSync(versions) ? readdirSync(versions).sort() : [];
  const newest = found.at(-1);
  const folders = [
    ...(newest === undefined ? [] : [join(versions, newest, 'bin')]),
    '/usr/local/bin',
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb')));
}

function userOf(name: string): { readonly uid?: number; readonly gid?: number } {
  const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
