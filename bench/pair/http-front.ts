/**
 * The first process of a bare pair for `/data`, `node http-front.js PORT`: Fastify and what
 * `front.ts` does, under one key for all items.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import fastify from 'fastify';
import { Pseudonymizer } from '../../lib/crypto/pseudonym.ts';
import { keyInput } from '../../lib/key-input.ts';
import { Link } from './link.ts';

const ALGORITHM = 'aes-256-gcm';
const [NONCE_BYTES, HEAD_BYTES] = [12, 28];
const NAMESPACE = Buffer.from('data');

const link = await Link.open(Number(process.argv[2]));
const pseudonymizer = new Pseudonymizer(randomBytes(32), 1);
const key = randomBytes(32);
const app = fastify();

app.post<{ Body: { id: number; data: string } }>('/data', async ({ body }) => {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, keyInput(key), nonce);
  const sealed = cipher.update(body.data);
  cipher.final();
  const value = [nonce, cipher.getAuthTag(), sealed];
  await new Promise((resolve) => link.put(storeKeyOf(body.id), value, resolve));
  return body;
});

app.get<{ Params: { item_id: string } }>('/data/:item_id', async ({ params }) => {
  const id = Number(params.item_id);
  const value = await new Promise<Buffer>((resolve) => link.get(storeKeyOf(id), resolve));
  const decipher = createDecipheriv(ALGORITHM, keyInput(key), value.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(value.subarray(NONCE_BYTES, HEAD_BYTES));
  const data = decipher.update(value.subarray(HEAD_BYTES));
  decipher.final();
  return { id, data: data.toString() };
});

await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`listening on 127.0.0.1:${(app.server.address() as AddressInfo).port}\n`);
process.on('SIGTERM', () => process.exit(0));

function storeKeyOf(id: number): Buffer {
  return pseudonymizer.storeKey({ namespace: NAMESPACE, id: Buffer.from(String(id)) });
}
