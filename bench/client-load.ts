/**
 * The load of one program that uses the client library, in a process of its own: `node
 * client-load.js PORT CALLERS SECONDS BYTES`. Its callers share a client, which has one connection,
 * as they would share a client of a database. They store under fresh IDs, then retrieve what they
 * stored. Prints operations per second and processor time as JSON, as `load.ts` does.
 */
import { randomBytes } from 'node:crypto';
import { FeClient } from '../lib/fe/client.ts';

const [port = 7777, callers = 64, seconds = 3, bytes = 1024] = process.argv.slice(2).map(Number);
const record = randomBytes(bytes);
const stored: { readonly id: Buffer; readonly key: Buffer }[] = [];
const client = new FeClient({ address: { host: '127.0.0.1', port } });

async function store(): Promise<void> {
  const id = randomBytes(16);
  const { key } = await client.store(id, record);
  stored.push({ id, key });
}

async function retrieve(): Promise<void> {
  const entry = stored[Math.floor(Math.random() * stored.length)];
  if (entry === undefined) throw new Error('nothing was stored');
  const found = await client.retrieve(entry.id, entry.key);
  if (found.record.length !== bytes) throw new Error('a record came back with another length');
}

async function phase(step: () => Promise<void>): Promise<object> {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  let done = 0;
  const caller = async () => {
    while (performance.now() - startedAt < seconds * 1000) {
      await step();
      done++;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const took = (performance.now() - startedAt) / 1000;
  const used = process.cpuUsage(cpu);
  return { perSecond: done / took, cpuMicros: (used.user + used.system) / done };
}

const result = { store: await phase(store), retrieve: await phase(retrieve) };
client.close();
process.stdout.write(`${JSON.stringify(result)}\n`);
