/** Our HTTP, one request at a time on each connection. */
import { Agent, request } from 'node:http';
import type { Connection, Driver, Item, Target } from './driver.ts';

class HttpConnection implements Connection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async store(item: Item, record: Buffer): Promise<void> {
    const headers = { 'Content-Type': 'application/octet-stream' };
    const answer = await this.#ask('PUT', item, headers, record);
    item.key = Buffer.from((JSON.parse(answer.toString()) as { key: string }).key);
  }

  async retrieve(item: Item): Promise<number> {
    return (await this.#ask('GET', item, { 'Enc-Record-Key': `${item.key}` })).length;
  }

  async remove(item: Item): Promise<void> {
    await this.#ask('DELETE', item, {});
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }

  #ask(
    method: string,
    { id }: Item,
    headers: Record<string, string>,
    body?: Buffer,
  ): Promise<Buffer> {
    const { host, port } = this.#target;
    const path = `/v1/records/${id.toString('hex')}`;
    return new Promise((resolve, reject) => {
      const asked = request({ agent: this.#agent, host, port, method, path, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => {
          const whole = Buffer.concat(chunks);
          if ((answer.statusCode ?? 500) < 300) resolve(whole);
          else reject(new Error(whole.toString()));
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }
}

export class HttpDriver implements Driver {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async connect(): Promise<Connection> {
    return new HttpConnection(this.#target);
  }
}
