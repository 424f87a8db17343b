/** Lists the IDs of a namespace, decoded from the keys that the store knows them by. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BeCall, ScanItem } from '../be/client.ts';
import type { RecordName } from '../crypto/envelope.ts';
import { decodeHead } from '../crypto/head.ts';
import type { Pseudonymizer } from '../crypto/pseudonym.ts';
import { codeOf, EncServerError } from '../errors.ts';
import { isGone, type RecordStore, scanAll } from './lookup.ts';
import type { Ring } from './ring.ts';
import { CHANGE_MS_MAX, CHANGE_PAUSE_MS, type RingKeeper, withRing } from './with-ring.ts';

/** Some of the IDs of a namespace. */
export interface IdPage {
  readonly ids: readonly Buffer[];
  /** Pass this as `after` for the next page: 11 or 27 opaque bytes. */
  readonly next: Buffer | undefined;
}

export class Listing {
  readonly #be: RecordStore;
  readonly #keeper: RingKeeper;

  constructor(be: RecordStore, keeper: RingKeeper) {
    this.#be = be;
    this.#keeper = keeper;
  }

  /**
   * The IDs of a namespace, in no meaningful order. Rejects with `UNAVAILABLE` if the keyring
   * changes meanwhile, as some could be returned twice; `TIMEOUT` if one page takes longer than
   * `timeoutMs`.
   */
  async *listIds(namespace: Buffer, timeoutMs: number): AsyncGenerator<Buffer> {
    const untilMs = Date.now() + CHANGE_MS_MAX;
    for (let isBegun = false; ; ) {
      try {
        for await (const id of this.#idsUnder(this.#keeper.ring, namespace, timeoutMs)) {
          isBegun = true;
          yield id;
        }
        return;
      } catch (error) {
        if (codeOf(error) !== 'STALE_EPOCH') throw error;
        const isRenewed = await this.#keeper.renew();
        if (isBegun || Date.now() >= untilMs) {
          throw new EncServerError('UNAVAILABLE', 'the keyring changed while IDs were listed');
        }
        if (!isRenewed) await sleep(CHANGE_PAUSE_MS);
      }
    }
  }

  /**
   * One page of the IDs of a namespace. `next` is where to continue; undefined at the end. During a
   * rotation of the keyring, an ID may be returned twice, but none is left out.
   */
  listPage(
    namespace: Buffer,
    after: Buffer | undefined,
    limit: number,
    call: BeCall,
  ): Promise<IdPage> {
    return withRing(this.#keeper, call, async ({ old, active }, bound) => {
      const [first, last] = [old ?? active, active].map((one) => one.prefix(namespace));
      const isFirst = after === undefined || isUnder(after, first);
      const pseudonymizer = isFirst ? (old ?? active) : active;
      const prefix = (isFirst ? first : last) as Buffer;
      // A position under an entry that is retired by now is followed by all of the active one.
      const from = after !== undefined && isUnder(after, prefix) ? after : undefined;
      const askedAtMs = Date.now();
      const page = await this.#be.scan(prefix, from, limit, bound);
      const ids = page.items
        .filter((item) => !isGone(item, askedAtMs))
        .map((item) => nameOf(item, pseudonymizer))
        .filter((name) => name.namespace.equals(namespace))
        .map(({ id }) => id);
      const onward = old !== undefined && isFirst ? last : undefined;
      return { ids, next: page.next ?? onward };
    });
  }

  async *#idsUnder(
    { old, active, epoch }: Ring,
    namespace: Buffer,
    timeoutMs: number,
  ): AsyncGenerator<Buffer> {
    const told = new Set<string>();
    // What ends during the list may be replaced during the list.
    const askedAtMs = Date.now();
    // The old entry first: a record that is moved meanwhile is then found under the active one.
    for (const pseudonymizer of old === undefined ? [active] : [old, active]) {
      const prefix = pseudonymizer.prefix(namespace);
      for await (const item of scanAll(this.#be, prefix, epoch, timeoutMs)) {
        if (isGone(item, askedAtMs)) continue;
        const name = nameOf(item, pseudonymizer);
        // Two namespaces may have the same prefix by chance.
        if (!name.namespace.equals(namespace)) continue;
        if (old !== undefined && isTold(told, name.id)) continue;
        yield name.id;
      }
    }
  }
}

/** @throws EncServerError `ALTERED`, which names the store key, so that the record can be found */
function nameOf({ key, head }: ScanItem, pseudonymizer: Pseudonymizer): RecordName {
  try {
    return pseudonymizer.open(key, decodeHead(head).sealedId);
  } catch (cause) {
    if (!(cause instanceof EncServerError)) throw cause;
    const { code, message, hint } = cause;
    const words = `${message}, under the store key ${key.toString('hex')}`;
    throw new EncServerError(code, words, { hint, cause });
  }
}

function isUnder(key: Buffer, prefix: Buffer | undefined): boolean {
  return prefix !== undefined && key.subarray(0, prefix.length).equals(prefix);
}

function isTold(told: Set<string>, id: Buffer): boolean {
  const key = id.toString('latin1');
  if (told.has(key)) return true;
  told.add(key);
  return false;
}
