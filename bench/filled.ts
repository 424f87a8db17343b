/**
 * Records that are put into a store without using the wire, because millions of them would take
 * long: sealed as the front end seals them, and written by the store's own code. ID and key of each
 * follow from its number, so that the readers need not be told.
 */
import { createHash } from 'node:crypto';
import { seal } from '../lib/crypto/envelope.ts';
import { encodeHead } from '../lib/crypto/head.ts';
import { loadKeyring } from '../lib/crypto/keyring.ts';
import { Ring } from '../lib/fe/ring.ts';
import { openStore } from '../lib/store/open.ts';
import type { Item } from './drivers/driver.ts';

/** Writes that wait for the disk at the same time. */
const TOGETHER = 2_000;
const ID_BYTES = 16;

/**
 * The record with a number. IDs are hashed, so that neighbours in time are not neighbours in the
 * store.
 */
export function filledItem(number: number): Item & { readonly key: Buffer } {
  const bytes = createHash('sha512').update(`filled ${number}`).digest();
  return { id: bytes.subarray(0, ID_BYTES), key: bytes.subarray(32) };
}

/**
 * Puts the records from `from` up to, but not including, `to` into the embedded store of a data
 * folder. Its servers must be down, and have made its keyring before.
 */
export async function fill(
  dataDir: { readonly store: string; readonly keyring: string },
  from: number,
  to: number,
  record: Buffer,
): Promise<void> {
  const keyring = await loadKeyring(dataDir.keyring);
  if (keyring === undefined) throw new Error('the servers have made no keyring');
  const { active } = new Ring(keyring);
  const store = await openStore({ kind: 'level', folder: dataDir.store });
  try {
    for (let at = from; at < to; at += TOGETHER) {
      const writes: Promise<unknown>[] = [];
      for (let number = at; number < Math.min(to, at + TOGETHER); number++) {
        const { id, key } = filledItem(number);
        const name = { namespace: Buffer.alloc(0), id };
        const { header, body } = seal({ name, key, record });
        const { storeKey, sealedId } = active.seal(name);
        writes.push(store.put(storeKey, { head: encodeHead(sealedId, header), body, expiryMs: 0 }));
      }
      await Promise.all(writes);
    }
  } finally {
    await store.close();
  }
}
