/** What a back end says over HTTP: whether it lives, and whether it is ready. Nothing else. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { answerClientError, type HttpSurface, httpServerOptions } from '../../net/http-door.ts';
import type { Limits } from '../../protocol/limits.ts';
import type { BeService } from '../service.ts';

/** The server behind the door of a back end's port. */
export async function openBeHttp(service: BeService, limits: Limits): Promise<HttpSurface> {
  const server = createServer(httpServerOptions(limits), (request, response) => {
    answer(service, request, response);
  });
  server.on('clientError', answerClientError);
  return { server, close: async () => undefined };
}

function answer(service: BeService, request: IncomingMessage, response: ServerResponse): void {
  const path = request.url?.split('?', 1)[0];
  if (path !== '/healthz' && path !== '/readyz') {
    const detail = 'the back end answers /healthz and /readyz; records are for front ends';
    send(response, 404, { ...problem(404, 'there is no such page', 'NOT_FOUND'), detail });
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    const detail = 'the header Allow says which methods there are';
    send(response, 405, { ...problem(405, 'no such method here', 'UNKNOWN_VERB'), detail });
  } else if (path === '/healthz') {
    send(response, 200, { alive: true });
  } else {
    const missing = missingOf(service);
    send(response, missing.length === 0 ? 200 : 503, { ready: missing.length === 0, missing });
  }
}

/** What keeps the back end from its work, in words. */
function missingOf(service: BeService): string[] {
  const reason = service.unreadyReason();
  return reason === undefined ? [] : [`store: ${reason}`];
}

function problem(status: number, title: string, code: string): object {
  return { type: 'about:blank', title, status, code };
}

function send(response: ServerResponse, status: number, body: object): void {
  const type = 'code' in body ? 'application/problem+json' : 'application/json';
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': bytes.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(bytes);
}
