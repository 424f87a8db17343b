/** A thousand records in a few requests; one that fails spoils no other. */
import { drawKey, FeClient, parseAddress } from 'enc-server-ts/fe-client';

const client = new FeClient({ address: parseAddress(process.env.ENC_SERVER ?? 'localhost:7777') });
const BATCH = 250;

const requests = Array.from({ length: 1_000 }, (_none, index) => ({
  op: 'store',
  id: `bulk/${index}`,
  record: Buffer.from(`record ${index}`),
  key: drawKey(),
}));
// Kept before they are used: what is stored and has no key is lost.
const keys = new Map(requests.map(({ id, key }) => [id, key]));

let stored = 0;
for (let at = 0; at < requests.length; at += BATCH) {
  const some = requests.slice(at, at + BATCH);
  const answers = await client.batch(some);
  for (const [index, { error }] of answers.entries()) {
    if (error === undefined) stored++;
    else console.error(`${some[index].id}: ${error.code} ${error.message}`);
  }
}
console.log(`stored ${stored} of ${requests.length}`);

const [answer] = await client.batch([
  { op: 'retrieve', id: 'bulk/999', key: keys.get('bulk/999') },
]);
console.log(`the last one: ${answer.found.record}`);
client.close();
