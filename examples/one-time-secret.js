/** A secret that can be read once. Whoever is second is told so, and when it was read. */
import { randomUUID } from 'node:crypto';
import { EncServerError, FeClient, parseAddress } from 'enc-server-ts/fe-client';

const client = new FeClient({ address: parseAddress(process.env.ENC_SERVER ?? 'localhost:7777') });
const id = `secret/${randomUUID()}`;

const { key } = await client.store(id, Buffer.from('the code is 0000'), {
  once: true,
  expiryMs: Date.now() + 24 * 3_600_000,
});

// To look is not to read.
const { once } = await client.head(id);
console.log(`can be read once: ${once}`);

console.log(`the first reader: ${(await client.retrieve(id, key)).record}`);
try {
  await client.retrieve(id, key);
} catch (error) {
  if (!(error instanceof EncServerError)) throw error;
  console.log(`the second reader: ${error.code}`);
}
client.close();
