/** What is counted of HTTP: by route, never by the content of a URL. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { logRequest } from '../../../net/request-log.ts';
import type { Operation, Outcome } from '../../../net/traffic.ts';
import type { HttpApp, HttpHost } from './host.ts';

const OPERATIONS: Readonly<Record<string, Operation>> = {
  'PUT /v1/records/:id': 'store',
  'GET /v1/records/:id': 'retrieve',
  'DELETE /v1/records/:id': 'delete',
  'POST /v1/records/:id/rekey': 'rekey',
  'PUT /v1/record': 'store',
  'GET /v1/record': 'retrieve',
  'DELETE /v1/record': 'delete',
  'POST /v1/record/rekey': 'rekey',
  'GET /v1/records': 'list',
  'POST /v1/batch': 'batch',
  'POST /records': 'store',
  'GET /records/:id': 'retrieve',
  'DELETE /records/:id': 'delete',
  'POST /data': 'store',
  'GET /data': 'list',
  'GET /data/:item_id': 'retrieve',
};

/** Let in whatever else is under way, because they tell what is wrong. */
const UNBOUNDED: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz', '/metrics']);

/** Add this before the hooks that may refuse a request. */
export function countTraffic(app: HttpApp, { traffic, log }: HttpHost): void {
  app.decorateRequest('outcome', 'ok');
  app.decorateRequest('context');
  app.addHook('onRequest', (request, reply, done) => {
    const sinceMs = performance.now();
    let isLetIn = false;
    // Also runs if the client goes away before its answer.
    reply.raw.once('close', () => {
      if (isLetIn) traffic.end();
      const operation = operationOf(request);
      const outcome = outcomeOf(request, reply);
      traffic.note('http', operation, outcome, sinceMs);
      const { context } = request;
      // Without an answer it may still be waiting for something.
      if (!reply.raw.writableFinished) context?.cancel();
      context?.giveBack();
      logRequest(log, { dialect: 'http', operation, outcome, sinceMs, context });
    });
    traffic.begin(!UNBOUNDED.has(request.routeOptions.url));
    isLetIn = true;
    done();
  });
}

/** The demo's own answers have no code, and a server that is not ready has more than one. */
function outcomeOf({ outcome }: FastifyRequest, { statusCode }: FastifyReply): Outcome {
  if (outcome !== 'ok' || statusCode < 400) return outcome;
  if (statusCode === 503) return 'UNAVAILABLE';
  return statusCode === 404 ? 'NOT_FOUND' : 'INVALID_FIELD';
}

function operationOf({ method, routeOptions }: FastifyRequest): Operation {
  const { url } = routeOptions;
  if (method !== 'HEAD') return OPERATIONS[`${method} ${url}`] ?? 'other';
  const operation = OPERATIONS[`GET ${url}`] ?? 'other';
  return operation === 'retrieve' ? 'peek' : operation;
}
