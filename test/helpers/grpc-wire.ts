/** gRPC by hand: any bytes as a message, any headers, and how the call ended. */
import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect } from 'node:http2';

/** The methods of both services that are about records. */
export const RECORD_METHODS = [
  '/encserver.v1.FrontendService/Store',
  '/encserver.v1.FrontendService/Retrieve',
  '/encserver.v1.FrontendService/Delete',
  '/service.BackendService/StoreRecord',
  '/service.BackendService/RetrieveRecord',
  '/service.BackendService/DeleteRecord',
];

/** What is sent, and how. */
export interface RawCall {
  /** `/package.Service/Method` */
  readonly path: string;
  /** Each as it goes into a frame of its own. */
  readonly messages: readonly Buffer[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly isCompressed?: boolean;
}

/** How a call ended, in the trailing metadata. */
export interface RawEnd {
  readonly status: number;
  readonly errorCode: string | undefined;
  readonly details: string;
  /** The first message of the answer. */
  readonly message: Buffer | undefined;
}

export class RawGrpc {
  readonly session: ClientHttp2Session;

  constructor(port: number) {
    this.session = connect(`http://127.0.0.1:${port}`);
    this.session.on('error', () => undefined);
  }

  async call({ path, messages, headers = {}, isCompressed = false }: RawCall): Promise<RawEnd> {
    const stream = this.session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    // What is too long is answered, and reset, while it is being sent.
    stream.on('error', () => undefined);
    let ended: Record<string, unknown> = {};
    stream.on('response', (given) => (ended = { ...ended, ...given }));
    stream.on('trailers', (given) => (ended = { ...ended, ...given }));
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.end(Buffer.concat(messages.map((message) => framed(message, isCompressed))));
    await new Promise((resolve) => stream.on('close', resolve));
    const answer = Buffer.concat(chunks);
    return {
      status: Number(ended['grpc-status']),
      errorCode: ended['enc-error-code'] as string | undefined,
      details: decodeURI(String(ended['grpc-message'] ?? '')),
      message: answer.length >= 5 ? answer.subarray(5, 5 + answer.readUInt32BE(1)) : undefined,
    };
  }

  /** What a call that fails says to programs; its words begin with the code. */
  async fails(call: RawCall): Promise<[status: number, errorCode: string | undefined]> {
    const { status, errorCode, details } = await this.call(call);
    assert.ok(details.startsWith(`${errorCode} `), details);
    return [status, errorCode];
  }

  close(): void {
    this.session.destroy();
  }
}

/** A field of a message whose length is below 128. */
export function field(number: number, value: Buffer | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
}

function framed(message: Buffer, isCompressed: boolean): Buffer {
  const head = Buffer.alloc(5);
  head[0] = isCompressed ? 1 : 0;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
