/**
 * The collection of the family's Go and Python servers, to be read and never written: documents
 * `{id, record}`, both strings of hexadecimal digits, without an index on `id`.
 */
import type { Collection, Document } from 'mongodb';
import { createClient, mongoPlace } from './mongo-client.ts';
import { notDone } from './mongo-error.ts';

export interface FamilyDocument {
  /** Its `_id` as MongoDB's extended JSON: the position to continue after. */
  readonly position: string;
  readonly id: unknown;
  readonly record: unknown;
}

/** What the servers of the family have stored. */
export interface FamilySource {
  /** For people; no user, no password. */
  readonly place: string;
  /** Rejects with `UNAVAILABLE`. */
  count(): Promise<number>;
  /** By ascending `_id`, those after `position`. Throws `UNAVAILABLE`. */
  documents(position?: string): AsyncGenerator<FamilyDocument>;
  close(): Promise<void>;
}

const COLLECTION = 'records';
const BATCH_DOCUMENTS = 500;

/** @throws EncServerError `BAD_CONFIG` for a malformed connection string */
export async function openFamilySource(uri: string, database: string): Promise<FamilySource> {
  const client = await createClient(uri);
  const { BSON } = await import('mongodb');
  const records: Collection<Document> = client.db(database).collection(COLLECTION);
  return {
    place: mongoPlace(uri, database),
    async count() {
      return await records.countDocuments({}).catch((cause: unknown) => {
        throw notDone(cause);
      });
    },
    async *documents(position) {
      // A plain `$gt` finds only what has the type of `position`; in an expression, as in the
      // order, the other types follow.
      const isAfter = { $gt: ['$_id', { $literal: BSON.EJSON.parse(position ?? 'null') }] };
      const after = position === undefined ? {} : { $expr: isAfter };
      const found = records
        .find(after, { projection: { id: 1, record: 1 }, batchSize: BATCH_DOCUMENTS })
        .sort({ _id: 1 });
      try {
        for await (const { _id, id, record } of found) {
          yield { position: BSON.EJSON.stringify(_id), id, record };
        }
      } catch (cause) {
        throw notDone(cause);
      } finally {
        await found.close().catch(() => undefined);
      }
    },
    close: () => client.close(),
  };
}
