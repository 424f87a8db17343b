/** The indexes of the values in MongoDB. */
import type { Collection, IndexDescription } from 'mongodb';
import { EncServerError } from '../errors.ts';
import type { Answered } from './mongo-answers.ts';
import type { ValueDocument } from './mongo-document.ts';
import { isIndexConflict } from './mongo-error.ts';

type NamedIndex = IndexDescription & { readonly name: string };

/** By field. All are sparse, so that they hold only documents that have the field. */
const INDEXES: Readonly<Partial<Record<keyof ValueDocument, NamedIndex>>> = {
  e: { name: 'e_1', key: { e: 1 }, expireAfterSeconds: 0, sparse: true },
  k: { name: 'k_1', key: { k: 1 }, sparse: true },
};

/**
 * Makes the indexes that are missing.
 *
 * @throws EncServerError `BAD_CONFIG` if another index stands in the way
 */
export async function createIndexes(
  values: Collection<ValueDocument>,
  answered: Answered,
): Promise<void> {
  // One by one, so that the error names the right one.
  for (const [field, index] of Object.entries(INDEXES)) {
    try {
      await answered(values.createIndexes([index]));
    } catch (thrown) {
      throw isIndexConflict(thrown)
        ? conflict(values.namespace, field, index.name, thrown)
        : thrown;
    }
  }
}

function conflict(collection: string, field: string, name: string, cause: unknown): EncServerError {
  const words = `the collection ${collection} has an index on ${field}, or one named ${name}`;
  return new EncServerError('BAD_CONFIG', `${words}, that is not as this release makes it`, {
    hint: "look at the collection's getIndexes() in mongosh, and dropIndex() it; it is made anew",
    cause,
  });
}
