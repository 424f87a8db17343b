/** The connection string, and the process's one client made from it. */
import type { Collection, CollectionOptions, MongoClient, MongoClientOptions } from 'mongodb';
import { redactUri } from '../config/redact.ts';
import { EncServerError } from '../errors.ts';
import { COLLECTION_NAME, type ValueDocument } from './mongo-document.ts';

/**
 * How long to search for a server that takes writes, in milliseconds. Short, since a caller waits;
 * an election may take longer, and is answered with `UNAVAILABLE`.
 */
const SELECTION_TIMEOUT_MS = 2_000;
/** Time for a connection to be made, in milliseconds. */
const CONNECT_TIMEOUT_MS = 2_000;
/** A connection on which an answer takes this long counts as broken, in milliseconds. */
const SOCKET_TIMEOUT_MS = 20_000;
/** Time between checks of a server that does not report by itself, in milliseconds. */
const HEARTBEAT_MS = 2_000;

const CLIENT_OPTIONS: MongoClientOptions = {
  serverSelectionTimeoutMS: SELECTION_TIMEOUT_MS,
  connectTimeoutMS: CONNECT_TIMEOUT_MS,
  socketTimeoutMS: SOCKET_TIMEOUT_MS,
  heartbeatFrequencyMS: HEARTBEAT_MS,
  appName: 'enc-server-ts',
  promoteBuffers: true,
};

/**
 * What no connection string may change. (Set on the client, it would be overridden by
 * `journal=false` in the string.)
 * - Acknowledged means durable: on the disk of most members.
 * - Reads see only what most members have, so no value that was read is rolled back later. They go
 *   to the primary, which knows of every acknowledged write. A primary that was cut off and does
 *   not know it yet may return an older state, for seconds; `linearizable` would close that gap, at
 *   the price of a write to the log of every member for each read.
 * - Values come as this program expects them; `promoteValues=false` would make every one damaged.
 */
const COLLECTION_OPTIONS: CollectionOptions = {
  writeConcern: { w: 'majority', journal: true },
  readConcern: { level: 'majority' },
  readPreference: 'primary',
  promoteValues: true,
  promoteBuffers: true,
  promoteLongs: true,
  useBigInt64: false,
  raw: false,
};

/**
 * Makes a client. It connects on first use.
 *
 * @throws EncServerError `BAD_CONFIG` for a malformed connection string, without quoting it
 */
export async function createClient(uri: string): Promise<MongoClient> {
  const { MongoClient } = await import('mongodb');
  try {
    return new MongoClient(uri, CLIENT_OPTIONS);
  } catch {
    // The driver's error may quote the string.
    throw new EncServerError('BAD_CONFIG', 'mongoURI is no connection string', {
      hint: 'percent-encode special characters in user and password; see docs/CONFIG.md',
    });
  }
}

/** The collection of the values, with the guarantees that the store gives. */
export function valuesOf(client: MongoClient, database: string): Collection<ValueDocument> {
  return client.db(database).collection<ValueDocument>(COLLECTION_NAME, COLLECTION_OPTIONS);
}

/**
 * The location of the values, for people: `mongodb://host1,host2/database`; no user, no password.
 */
export function mongoPlace(uri: string, database: string): string {
  const shown = redactUri(uri);
  const scheme = shown.slice(0, shown.indexOf('://') + '://'.length);
  const hosts = shown.slice(Math.max(scheme.length, shown.lastIndexOf('@') + 1));
  return `${scheme}${/^[^/?]*/.exec(hosts)?.[0] ?? ''}/${database}`;
}
