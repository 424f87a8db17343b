/** A small key service in the shape of Vault's transit engine: it really encrypts. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export class KeyService {
  readonly token = randomBytes(12).toString('hex');
  /** What it answers with instead, where it is set. */
  failure: { readonly status: number; readonly body: string } | undefined;
  /** Whether it begins an answer and never ends it. */
  drips = false;
  /** How often it was asked. */
  asked = 0;
  readonly #key = randomBytes(32);
  readonly #server: Server;
  #port = 0;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.asked++;
      if (this.drips) {
        response.writeHead(200);
        const timer = setInterval(() => response.write(' '), 10);
        response.on('close', () => clearInterval(timer));
        return;
      }
      void this.#answer(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(body);
      });
    });
  }

  static async start(): Promise<KeyService> {
    const service = new KeyService();
    await service.listen();
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1/transit`;
  }

  /** On the port that it had before, if it had one. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: string }> {
    if (this.failure !== undefined) return this.failure;
    if (request.headers['x-vault-token'] !== this.token) {
      return { status: 403, body: '{"errors":["permission denied"]}' };
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    const [, operation, name] = /\/v1\/transit\/(encrypt|decrypt)\/(\w[\w-]*)$/.exec(
      request.url ?? '',
    ) ?? [undefined, '', ''];
    try {
      const data = operation === 'encrypt' ? this.#encrypt(body, name) : this.#decrypt(body, name);
      return { status: 200, body: JSON.stringify({ data }) };
    } catch {
      return { status: 400, body: '{"errors":["cipher: message authentication failed"]}' };
    }
  }

  #encrypt({ plaintext }: { plaintext: string }, name = '') {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(name));
    const text = cipher.update(Buffer.from(plaintext, 'base64'));
    cipher.final();
    const sealed = Buffer.concat([nonce, text, cipher.getAuthTag()]);
    return { ciphertext: `vault:v1:${sealed.toString('base64')}`, key_version: 1 };
  }

  #decrypt({ ciphertext }: { ciphertext: string }, name = '') {
    const sealed = Buffer.from(ciphertext.replace(/^vault:v1:/, ''), 'base64');
    const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, 12));
    decipher.setAAD(Buffer.from(name)).setAuthTag(sealed.subarray(-16));
    const text = decipher.update(sealed.subarray(12, -16));
    decipher.final();
    return { plaintext: text.toString('base64') };
  }
}
