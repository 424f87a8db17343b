/**
 * What a person would write by hand on the driver, in a process of its own: `node mongo-peer.js URI
 * DATABASE CALLERS SECONDS BYTES BATCH`. Seals each record by AES-256-GCM under a fresh key, then
 * stores it; later finds and opens it. With a batch of 1, each caller has one operation under way;
 * otherwise there is one caller, which stores and finds that many at once. Prints operations per
 * second and processor time as JSON, as `load.ts` does.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { keyInput } from '../lib/key-input.ts';

interface SealedDocument {
  _id: Buffer;
  nonce: Buffer;
  sealed: Buffer;
  tag: Buffer;
}

interface StoredRecord {
  readonly id: Buffer;
  readonly key: Buffer;
}

const [uri = '', database, ...numbers] = process.argv.slice(2);
const [callers = 64, seconds = 3, bytes = 1024, batch = 1] = numbers.map(Number);
const record = randomBytes(bytes);
const stored: StoredRecord[] = [];

const client = new MongoClient(uri, {
  maxPoolSize: callers,
  promoteBuffers: true,
  writeConcern: { w: 'majority', journal: true },
});
const collection = client.db(database).collection<SealedDocument>(`batches-of-${batch}`);

function seal(): { document: SealedDocument; key: Buffer } {
  const [id, key, nonce] = [randomBytes(27), randomBytes(32), randomBytes(12)];
  const cipher = createCipheriv('aes-256-gcm', keyInput(key), nonce);
  const sealed = Buffer.concat([cipher.update(record), cipher.final()]);
  return { document: { _id: id, nonce, sealed, tag: cipher.getAuthTag() }, key };
}

function open(document: SealedDocument | null | undefined, key: Buffer): void {
  if (!document) throw new Error('a record was not found');
  const decipher = createDecipheriv('aes-256-gcm', keyInput(key), document.nonce);
  decipher.setAuthTag(document.tag);
  const opened = Buffer.concat([decipher.update(document.sealed), decipher.final()]);
  if (opened.length !== bytes) throw new Error('a record came back with another length');
}

async function storeOne(): Promise<void> {
  const { document, key } = seal();
  await collection.replaceOne({ _id: document._id }, document, { upsert: true });
  stored.push({ id: document._id, key });
}

async function storeBatch(): Promise<void> {
  const sealed = Array.from({ length: batch }, seal);
  const operations = sealed.map(({ document }) => ({
    replaceOne: { filter: { _id: document._id }, replacement: document, upsert: true },
  }));
  await collection.bulkWrite(operations, { ordered: false });
  for (const { document, key } of sealed) stored.push({ id: document._id, key });
}

function pick(): StoredRecord {
  return stored[Math.floor(Math.random() * stored.length)] as StoredRecord;
}

async function retrieveOne(): Promise<void> {
  const { id, key } = pick();
  open(await collection.findOne({ _id: id }), key);
}

async function retrieveBatch(): Promise<void> {
  const wanted = Array.from({ length: batch }, pick);
  const filter = { _id: { $in: wanted.map(({ id }) => id) } };
  const found = new Map<string, SealedDocument>();
  for (const document of await collection.find(filter).toArray()) {
    found.set(document._id.toString('hex'), document);
  }
  for (const { id, key } of wanted) open(found.get(id.toString('hex')), key);
}

async function phase(step: () => Promise<void>): Promise<object> {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  let done = 0;
  const caller = async () => {
    while (performance.now() - startedAt < seconds * 1000) {
      await step();
      done += batch;
    }
  };
  await Promise.all(Array.from({ length: batch === 1 ? callers : 1 }, caller));
  const took = (performance.now() - startedAt) / 1000;
  const used = process.cpuUsage(cpu);
  return { perSecond: done / took, cpuMicros: (used.user + used.system) / done };
}

await client.connect();
const store = await phase(batch === 1 ? storeOne : storeBatch);
const retrieve = await phase(batch === 1 ? retrieveOne : retrieveBatch);
await client.close();
process.stdout.write(`${JSON.stringify({ store, retrieve })}\n`);
