/** What is looked at in the items of a backup before the first of them is restored. */
import { STORE_KEY_BYTES } from '../crypto/pseudonym.ts';
import { EncServerError } from '../errors.ts';
import { bodyBytesMax } from '../net/pending.ts';
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

/** Of the items that are seen, the one that needs most of a back end. */
export class LargestItem {
  #number = 0;
  #bytes = 0;
  /** The record maximum of a back end that takes it. */
  #needs = 0;

  readonly see = (item: BackupItem, number: number): void => {
    // A sealed record may be a little longer than the record; what foreign front ends sent, not.
    const spare = item.key[0] === TABLE.FOREIGN ? 0 : bodyBytesMax(0);
    const needs = item.body.length - spare;
    if (needs <= this.#needs || isOver(item)) return;
    [this.#number, this.#bytes, this.#needs] = [number, item.body.length, needs];
  };

  /** @throws EncServerError `RECORD_TOO_LARGE` if a back end of this record maximum refuses it */
  refuseIfAbove(recordBytesMax = Number.POSITIVE_INFINITY): void {
    if (this.#needs <= recordBytesMax) return;
    const words = `item ${this.#number} of the backup has ${this.#bytes} bytes, and the back end takes records of at most ${recordBytesMax}`;
    const hint = 'raise recordBytesMax of the back end to what it was; nothing was restored';
    throw new EncServerError('RECORD_TOO_LARGE', words, { hint });
  }
}

/** Whether it has expired since. */
export function isOver({ expiryMs }: BackupItem): boolean {
  return expiryMs !== 0 && expiryMs <= Date.now();
}
