/** HTTP as a client speaks it: whole requests, and bytes as they are. */
import { type OutgoingHttpHeaders, request } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** The body as JSON. */
  json<T = Record<string, unknown>>(): T;
}

export interface HttpCall {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Buffer;
}

/** One request on a connection of its own. */
export function http(
  port: number,
  method: string,
  path: string,
  call: HttpCall = {},
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const headers = call.headers ?? {};
    const options = { host: '127.0.0.1', port, method, path, headers, agent: false };
    const sent = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body,
          json: () => JSON.parse(body.toString()),
        });
      });
    });
    sent.on('error', reject);
    sent.end(call.body);
  });
}

/** A JSON body, sent. */
export function httpJson(
  port: number,
  method: string,
  path: string,
  body: unknown,
): Promise<HttpAnswer> {
  const headers = { 'Content-Type': 'application/json' };
  return http(port, method, path, { headers, body: JSON.stringify(body) });
}

/** A connection that is written to and read by hand. */
export class RawHttp {
  readonly socket: Socket;
  received = '';
  readonly closed: Promise<void>;
  #changed: () => void = () => undefined;

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.#changed();
    });
    this.closed = new Promise((resolve) => {
      this.socket.on('end', resolve);
      this.socket.on('close', () => resolve());
    });
    void this.closed.then(() => this.#changed());
  }

  write(text: string | Buffer): void {
    this.socket.write(text);
  }

  /** Resolves once what was received matches; rejects if the connection ends before. */
  async saw(pattern: RegExp): Promise<RegExpExecArray> {
    let ended = false;
    void this.closed.then(() => {
      ended = true;
    });
    for (;;) {
      const found = pattern.exec(this.received);
      if (found !== null) return found;
      if (ended) throw new Error(`ended before ${pattern}: ${this.received}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  destroy(): void {
    this.socket.destroy();
  }
}
