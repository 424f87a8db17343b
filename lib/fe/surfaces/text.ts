/** Serves text lines from the front end's service: netcat, and the family's clients. */

import type { RecordName } from '../../crypto/envelope.ts';
import type { Port } from '../../net/port.ts';
import type { RequestContext } from '../../net/request.ts';
import type { TextSurface } from '../../net/text-connection.ts';
import { operationOf } from '../../net/traffic.ts';
import { encodeHex } from '../../protocol/hex.ts';
import { FE_HELP, parseFeLine } from '../../protocol/text.ts';
import { namespaceFor } from '../reserved.ts';
import type { FeService } from '../service.ts';
import type { TextEncoding } from './text-encoding.ts';

const SUCCESS = Buffer.from('SUCCESS\n');
const PONG = Buffer.from('PONG\n');
const LINE_FEED = Buffer.from('\n');
const NO_BYTES = Buffer.alloc(0);

export class FeText implements TextSurface {
  readonly #service: FeService;
  readonly #port: Port;
  readonly #encoding: TextEncoding;

  constructor(service: FeService, port: Port, encoding: TextEncoding) {
    this.#service = service;
    this.#port = port;
    this.#encoding = encoding;
  }

  async handle(line: Buffer, context: RequestContext): Promise<Buffer | undefined> {
    const request = parseFeLine(line);
    context.operation = operationOf(request.verb);
    switch (request.verb) {
      case 'STORE': {
        const { record, base64 } = request;
        const input = {
          name: this.#nameOf(request.id, context),
          record: base64 ? record : this.#encoding.decodeRecord(record),
        };
        const { drawnKey } = await this.#service.store(input, context);
        return Buffer.concat([encodeHex(drawnKey ?? NO_BYTES), LINE_FEED]);
      }
      case 'RETRIEVE': {
        let reply: Buffer = NO_BYTES;
        const encode = request.base64 ? encodeBase64 : this.#encoding.encodeRecord;
        // Here, so that what is no text stays unread where it can be read once.
        const check = (record: Buffer) => {
          reply = encode(record);
        };
        const name = this.#nameOf(request.id, context);
        await this.#service.retrieve(name, request.key, context, { check });
        return reply;
      }
      case 'DELETE':
        await this.#service.delete(this.#nameOf(request.id, context), request.key, context);
        return SUCCESS;
      case 'AUTH':
        context.authenticate(request.accessToken, true);
        return SUCCESS;
      case 'PING':
        return PONG;
      case 'INFO':
        return Buffer.from(
          `${JSON.stringify({ ...(await this.#service.info(context)), ...this.#port.facts(context) })}\n`,
        );
      case 'HELP':
        return Buffer.from(`${FE_HELP}\n`);
      case 'QUIT':
        return undefined;
    }
  }

  /** Lines name no namespace: it is the caller's own, or the unnamed one. */
  #nameOf(token: Buffer, { caller }: RequestContext): RecordName {
    return { namespace: namespaceFor(undefined, caller), id: this.#encoding.decodeId(token) };
  }
}

function encodeBase64(record: Buffer): Buffer {
  return Buffer.from(`${record.toString('base64')}\n`);
}
