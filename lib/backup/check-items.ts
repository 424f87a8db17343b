/** What is looked at in the items of a backup before the first of them is restored. */
import { STORE_KEY_BYTES } from '../crypto/pseudonym.ts';
import { EncServerError } from '../errors.ts';
import { HEAD_BYTES_MAX } from '../protocol/limits.ts';
import { STORE_KEY_BYTES_MAX } from '../store/keys.ts';
import { TABLE } from '../store/store.ts';
import { ALTERED_HINT, type BackupItem, type ReadItem } from './format.ts';

/**
 * The items as they come. Whoever has the backup key can write what no store has, and what no back
 * end would take back.
 *
 * @throws EncServerError `ALTERED`
 */
export async function* wellFormed(items: AsyncIterable<ReadItem>): AsyncGenerator<ReadItem> {
  let number = 0;
  for await (const item of items) {
    number++;
    if (!isWellFormed(item)) {
      const words = `item ${number} of the backup is none that a store can have`;
      throw new EncServerError('ALTERED', words, { hint: ALTERED_HINT });
    }
    yield item;
  }
}

function isWellFormed({ key, head, expiryMs }: BackupItem): boolean {
  const isKey =
    key[0] === TABLE.RECORDS
      ? key.length === STORE_KEY_BYTES
      : key[0] === TABLE.FOREIGN && key.length >= 2 && key.length <= STORE_KEY_BYTES_MAX;
  return isKey && head.length <= HEAD_BYTES_MAX && Number.isSafeInteger(expiryMs);
}
