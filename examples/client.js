/** The client library, once around. */
import { EncServerError, FeClient, parseAddress } from 'enc-server-ts/fe-client';

const client = new FeClient({ address: parseAddress(process.env.ENC_SERVER ?? 'localhost:7777') });

// The library draws the key and sends it along: an answer that gets lost loses no record.
const stored = await client.store('example/alice', Buffer.from('hello'), { ifAbsent: true });
console.log(`stored, replacing something: ${stored.replaced}`);

const { record, revision } = await client.retrieve('example/alice', stored.key);
console.log(`retrieved: ${record}`);

// Replaced only if nobody else was faster.
const next = await client.store('example/alice', Buffer.from('hello again'), {
  ifRevision: revision,
});
console.log(`replaced: ${next.replaced}`);

try {
  await client.retrieve('example/alice', stored.key);
} catch (error) {
  if (!(error instanceof EncServerError)) throw error;
  // Codes are stable; words are for people.
  console.log(`the old key: ${error.code}`);
}

console.log(`deleted: ${await client.delete('example/alice', { key: next.key })}`);
client.close();
