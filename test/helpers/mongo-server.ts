/**
 * The MongoDB that tests run against: the server of `MONGODB_URI`; else a `mongod` of this
 * machine (`MONGOMS_SYSTEM_BINARY`, or on the PATH), started for the tests of one file; else none.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';

const GIVEN_URI = process.env['MONGODB_URI'];
const BINARY = process.env['MONGOMS_SYSTEM_BINARY'] || binaryOnPath();
/** What a start may take, in milliseconds. */
const PATIENCE_MS = 20_000;

/** Why tests that need MongoDB are skipped; undefined where there is one. */
export const NO_MONGO: string | undefined =
  GIVEN_URI || BINARY ? undefined : 'no MongoDB: set MONGODB_URI, or install mongod';

export interface TestMongo {
  /** Connection string. */
  readonly uri: string;
  /** A name that no other test has. */
  database(): string;
  /** Drops the databases that were named, and stops what was started. */
  close(): Promise<void>;
}

/** Call it only where {@link NO_MONGO} is undefined. */
export async function openTestMongo(): Promise<TestMongo> {
  const server = GIVEN_URI ? undefined : await startMongod();
  const uri = GIVEN_URI || `mongodb://127.0.0.1:${server?.port}`;
  const names: string[] = [];
  return {
    uri,
    database() {
      const name = `enc-test-${randomBytes(8).toString('hex')}`;
      names.push(name);
      return name;
    },
    async close() {
      await withClient(uri, async (client) => {
        for (const name of names) await client.db(name).dropDatabase();
      });
      await server?.stop();
    },
  };
}

/** Runs with a client of the driver, which is closed afterwards. */
export async function withClient<Result>(
  uri: string,
  run: (client: MongoClient) => Promise<Result>,
): Promise<Result> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: PATIENCE_MS });
  try {
    return await run(client);
  } finally {
    await client.close();
  }
}

function binaryOnPath(): string | undefined {
  const { status } = spawnSync('mongod', ['--version'], { stdio: 'ignore' });
  return status === 0 ? 'mongod' : undefined;
}

async function startMongod(): Promise<{ port: number; stop: () => Promise<void> }> {
  if (!BINARY) throw new Error(NO_MONGO);
  const folder = await mkdtemp(join(tmpdir(), 'enc-mongod-'));
  const port = await freePort();
  const args = ['--dbpath', folder, '--port', String(port), '--bind_ip', '127.0.0.1'];
  const child = spawn(BINARY, args, { stdio: 'ignore' });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  await Promise.race([listens(port), failed(child)]);
  return {
    port,
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      process.off('exit', kill);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function listens(port: number): Promise<void> {
  const uri = `mongodb://127.0.0.1:${port}`;
  await withClient(uri, (client) => client.db('admin').command({ ping: 1 }));
}

async function failed(child: ChildProcess): Promise<never> {
  const [code] = await once(child, 'exit');
  throw new Error(`mongod ended with ${code}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
