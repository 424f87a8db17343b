/** What `/data` is compared with: routes that answer the same JSON and do nothing. */
import { randomBytes } from 'node:crypto';
import fastify from 'fastify';

const app = fastify();
const item = { id: 1, data: randomBytes(768).toString('base64') };

app.post('/data', async (request) => request.body);
app.get('/data/:item_id', async () => item);
await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`port ${(app.server.address() as { port: number }).port}\n`);
