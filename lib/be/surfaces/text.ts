/**
 * Serves text lines from the back end's service: what the family's front ends send, stored as it
 * is.
 */
import type { Port } from '../../net/port.ts';
import type { RequestContext } from '../../net/request.ts';
import type { TextSurface } from '../../net/text-connection.ts';
import { operationOf } from '../../net/traffic.ts';
import { BE_HELP, parseBeLine, recordLine } from '../../protocol/text.ts';
import type { BeService } from '../service.ts';

const SUCCESS = Buffer.from('SUCCESS\n');
/** This server has no RETRIEVE64. */
const NOT_TEXT_HINT = 'use be-client retrieve';
const PONG = Buffer.from('PONG\n');

export class BeText implements TextSurface {
  readonly #service: BeService;
  readonly #port: Port;

  constructor(service: BeService, port: Port) {
    this.#service = service;
    this.#port = port;
  }

  async handle(line: Buffer, context: RequestContext): Promise<Buffer | undefined> {
    const request = parseBeLine(line);
    context.operation = operationOf(request.verb);
    switch (request.verb) {
      case 'STORE':
        await this.#service.storeForeign(request.token, request.record, context);
        return SUCCESS;
      case 'RETRIEVE':
        return recordLine(
          await this.#service.retrieveForeign(request.token, context),
          NOT_TEXT_HINT,
        );
      case 'DELETE':
        await this.#service.deleteForeign(request.token, context);
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
        return Buffer.from(`${BE_HELP}\n`);
      case 'QUIT':
        return undefined;
    }
  }
}
