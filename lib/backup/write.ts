/** Makes a backup while the back end runs: through its protocol, from a snapshot that it lends. */
import { createHash, randomBytes } from 'node:crypto';
import { BeClient, type BeClientOptions, type ScanItem } from '../be/client.ts';
import { TABLES, type Told } from '../be/copy.ts';
import type { BeSnapshot } from '../be/snapshot-client.ts';
import { ONE_MOMENT_KINDS } from '../config/store-kinds.ts';
import { StreamSealer } from '../crypto/stream.ts';
import { codeOf } from '../errors.ts';
import { type BackupHeader, encodeEnd, encodeHeader, encodeItem, streamKeyOf } from './format.ts';
import { groupsOf } from './groups.ts';
import { type BackupSecret, drawBackupKey } from './keys.ts';

export interface Written {
  readonly items: number;
  readonly bytes: number;
  /** SHA-256 over the items, in hexadecimal digits: the same for the same content. */
  readonly digest: string;
  readonly header: BackupHeader;
}

const PAGE_ITEMS = 1_000;
const SALT_BYTES = 32;

/**
 * Rejects with `UNAVAILABLE`, `NOT_ALLOWED` without the scope admin, `NOT_FOUND` if the snapshot
 * ends meanwhile, and as `write` does.
 *
 * @param write gets the file, piece by piece
 */
export async function writeBackup(
  link: BeClientOptions,
  secret: BackupSecret,
  write: (bytes: Buffer) => Promise<void>,
  told: Told,
): Promise<Written> {
  const client = new BeClient(link);
  try {
    const snapshot = await client.openSnapshot();
    try {
      const { key, header: how } = await drawBackupKey(secret);
      const header = { ...(await describe(client)), ...how };
      const headerBytes = encodeHeader(header);
      await write(headerBytes);
      const sealer = new StreamSealer(streamKeyOf(key, headerBytes));
      const done = await writeItems(snapshot, sealer, write, told);
      return { ...done, bytes: done.bytes + headerBytes.length, header };
    } finally {
      await snapshot.close().catch(() => undefined);
    }
  } finally {
    client.close();
  }
}

async function describe(client: BeClient): Promise<BackupHeader> {
  const keyring = await client.askKeyring();
  const { store } = (await client.info()) as { store?: { kind?: string } };
  // A store that takes no writes at the moment, as on a full disk, tells nothing of itself.
  const kind = store?.kind ?? 'unknown';
  return {
    madeAtMs: Date.now(),
    keyring: keyring?.keyringId.toString('hex'),
    epoch: keyring?.epoch,
    store: kind,
    isOneMoment: ONE_MOMENT_KINDS.some((known) => known === kind),
    salt: randomBytes(SALT_BYTES).toString('hex'),
  };
}

async function writeItems(
  snapshot: BeSnapshot,
  sealer: StreamSealer,
  write: (bytes: Buffer) => Promise<void>,
  told: Told,
): Promise<Pick<Written, 'items' | 'bytes' | 'digest'>> {
  const hash = createHash('sha256');
  let [items, bytes] = [0, 0];
  const put = async (text: Buffer) => {
    const sealed = sealer.add(text);
    bytes += sealed.length;
    if (sealed.length > 0) await write(sealed);
  };
  for (const table of TABLES) {
    let after: Buffer | undefined;
    do {
      const page = await snapshot.scan(Buffer.of(table), after, PAGE_ITEMS);
      for await (const some of groupsOf(page.items, ({ bodyBytes }) => bodyBytes)) {
        const encoded = await Promise.all(some.map((item) => readItem(snapshot, item)));
        for (const item of encoded) {
          if (item === undefined) continue;
          hash.update(item);
          await put(item);
          items++;
        }
        told(items, items);
      }
      after = page.next;
    } while (after !== undefined);
  }
  await put(encodeEnd(items));
  const last = sealer.end();
  await write(last);
  return { items, bytes: bytes + last.length, digest: hash.digest('hex') };
}

/** Undefined for a value that has expired since it was listed. */
async function readItem(snapshot: BeSnapshot, { key }: ScanItem): Promise<Buffer | undefined> {
  try {
    const { head, revision, expiryMs, body = Buffer.alloc(0) } = await snapshot.get(key);
    return encodeItem({ key, head, revision, expiryMs, body });
  } catch (error) {
    if (codeOf(error) !== 'NOT_FOUND') throw error;
    // Either the value has expired, or the snapshot is over, which the next page tells.
    await snapshot.scan(Buffer.of(TABLES[0]), undefined, 1);
    return undefined;
  }
}
