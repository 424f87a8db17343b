/**
 * What a store knows about itself, in its meta table. These functions use only the contract, so
 * they work with every store. Facts lie in the head of a value; its body is empty.
 */
import { randomBytes } from 'node:crypto';
import { EncServerError, orUndefined } from '../errors.ts';
import { type Condition, IF_ABSENT, ifRevision, type Store, TABLE, type Value } from './store.ts';

/**
 * Version of everything in a store: tables, values, meta. A store with a newer version is refused.
 */
export const STORE_FORMAT = 1;
/** Size of a store's ID and of a keyring's, in bytes. */
export const PUBLIC_ID_BYTES = 16;

const EPOCH_MAX = 0xffff_ffff;
/** How often a conditional write is repeated at most; each time another server's has won. */
const ATTEMPTS_MAX = 16;

/** The part of a store that its meta table needs. */
export type MetaStore = Pick<Store, 'head' | 'put'>;

/** The key of a fact in the meta table. */
export function metaKey(name: string): Buffer {
  return Buffer.concat([Buffer.from([TABLE.META]), Buffer.from(name, 'ascii')]);
}

const FORMAT_KEY = metaKey('format');
const STORE_ID_KEY = metaKey('store-id');
const KEYRING_KEY = metaKey('keyring');

/** Every possible fact: these are not counted as records. */
export const META_KEYS: readonly Buffer[] = [FORMAT_KEY, STORE_ID_KEY, KEYRING_KEY];

/** A keyring, as a store records it and as a front end introduces itself. */
export interface KeyringMark {
  /** Public ID, 16 bytes. */
  readonly keyringId: Buffer;
  /** The newest epoch that was seen. */
  readonly epoch: number;
}

/**
 * Writes the format into a new store; checks it in an old one.
 *
 * @throws EncServerError `BAD_CONFIG` if a newer release made the store, `STORE_DAMAGED`
 */
export async function checkStoreFormat(store: MetaStore): Promise<void> {
  const head = await readOrCreate(store, FORMAT_KEY, () => u32(STORE_FORMAT));
  const format = head.length === 4 ? head.readUInt32BE() : 0;
  if (format === STORE_FORMAT) return;
  if (format === 0) throw damaged();
  throw new EncServerError(
    'BAD_CONFIG',
    `the store has format ${format}, and this release knows ${STORE_FORMAT}`,
    { hint: 'start the newer release that made this store, or choose another folder' },
  );
}

/** The store's ID, 16 random bytes; drawn if it has none yet. */
export async function readStoreId(store: MetaStore): Promise<Buffer> {
  const storeId = await readOrCreate(store, STORE_ID_KEY, () => randomBytes(PUBLIC_ID_BYTES));
  if (storeId.length !== PUBLIC_ID_BYTES) throw damaged();
  return storeId;
}

/**
 * Checks that it is the store with this ID. Only reads: what is empty is another store, too.
 *
 * @throws EncServerError `STORE_DAMAGED` if it is not
 */
export async function checkStoreId(store: Pick<MetaStore, 'head'>, storeId: Buffer): Promise<void> {
  const found = await store.head(STORE_ID_KEY);
  if (found?.head.equals(storeId)) return;
  throw new EncServerError('STORE_DAMAGED', 'the database is another than before', {
    hint: 'bring the earlier one back; to use this one, restart the back end',
  });
}

/** The keyring of the store, if it has been bound to one. */
export async function readKeyring(store: MetaStore): Promise<KeyringMark | undefined> {
  const stored = await store.head(KEYRING_KEY);
  return stored === undefined ? undefined : decodeKeyring(stored.head);
}

/**
 * Binds a keyring to a store. The first keyring stays for good; its epoch only grows.
 *
 * @param keyringId - public ID, 16 bytes
 * @param epoch - 1 to 2^32 - 1
 * @returns the epoch that the store now has
 * @throws EncServerError `KEYRING_MISMATCH` if the store belongs to another keyring, `STALE_EPOCH`
 *   if it has seen a newer epoch, `INVALID_FIELD`
 */
export async function bindKeyring(
  store: MetaStore,
  keyringId: Buffer,
  epoch: number,
): Promise<{ epoch: number }> {
  if (keyringId.length !== PUBLIC_ID_BYTES) {
    throw new EncServerError('INVALID_FIELD', `a keyring ID has ${PUBLIC_ID_BYTES} bytes`);
  }
  if (!Number.isInteger(epoch) || epoch < 1 || epoch > EPOCH_MAX) {
    throw new EncServerError('INVALID_FIELD', 'an epoch is a number of 32 bits, at least 1');
  }
  const value = meta(Buffer.concat([keyringId, u32(epoch)]));
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const stored = await store.head(KEYRING_KEY);
    if (stored !== undefined) {
      const known = decodeKeyring(stored.head);
      if (!known.keyringId.equals(keyringId)) {
        throw new EncServerError('KEYRING_MISMATCH', 'this store belongs to another keyring');
      }
      if (known.epoch > epoch) {
        const words = `the keyring has epoch ${epoch}, and the store has seen ${known.epoch}`;
        throw new EncServerError('STALE_EPOCH', words);
      }
      if (known.epoch === epoch) return { epoch };
    }
    const condition = stored === undefined ? IF_ABSENT : ifRevision(stored.revision);
    if (await isPut(store, KEYRING_KEY, value, condition)) return { epoch };
  }
  throw new EncServerError('OVERLOADED', 'too many servers bind their keyring at once');
}

function decodeKeyring(head: Buffer): KeyringMark {
  if (head.length !== PUBLIC_ID_BYTES + 4) throw damaged();
  return {
    keyringId: head.subarray(0, PUBLIC_ID_BYTES),
    epoch: head.readUInt32BE(PUBLIC_ID_BYTES),
  };
}

async function readOrCreate(store: MetaStore, key: Buffer, create: () => Buffer): Promise<Buffer> {
  const known = await store.head(key);
  if (known !== undefined) return known.head;
  const fresh = create();
  if (await isPut(store, key, meta(fresh), IF_ABSENT)) return fresh;
  // Another server created it in between, and nothing deletes it.
  const theirs = await store.head(key);
  if (theirs === undefined) throw damaged();
  return theirs.head;
}

/** Whether a conditional put was done; false for `CONFLICT`. */
async function isPut(store: MetaStore, key: Buffer, value: Value, condition: Condition) {
  return (await orUndefined(store.put(key, value, condition), 'CONFLICT')) !== undefined;
}

function meta(head: Buffer): Value {
  return { head, body: Buffer.alloc(0), expiryMs: 0 };
}

function u32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}

function damaged(): EncServerError {
  return new EncServerError('STORE_DAMAGED', "the store's meta table is damaged");
}
