/** What the server reports of itself: whether it is alive and ready, and its metrics. */
import { checkMetricsAccess } from '../../../net/metrics-access.ts';
import { problemOf, REFUSALS } from './failures-document.ts';
import type { HttpApp, HttpHost } from './host.ts';
import * as schemas from './schemas.ts';

const TAGS = ['server'];

/** Probes come from machines, under any name or address. */
export const PROBE = /^\/(?:healthz|readyz)(?:\?|$)/;

export function addProbes(app: HttpApp, host: HttpHost): void {
  addMetrics(app, host);
  const { state } = host;
  const healthz = { tags: TAGS, operationId: 'getLiveness', summary: 'Whether the server lives' };
  app.get('/healthz', { schema: { ...healthz, response: { 200: schemas.alive } } }, async () => {
    return { alive: true as const };
  });
  const readyz = {
    tags: TAGS,
    operationId: 'getReadiness',
    summary: 'Whether the server can do its work',
  };
  const response = { 200: schemas.readiness, 503: schemas.readiness };
  app.get('/readyz', { schema: { ...readyz, response } }, async (_request, reply) => {
    const { missing } = await state();
    const ready = missing.length === 0;
    return reply.code(ready ? 200 : 503).send({ ready, missing });
  });
}

function addMetrics(app: HttpApp, { page }: HttpHost): void {
  const schema = {
    tags: TAGS,
    operationId: 'getMetrics',
    summary: 'What the server counts, for Prometheus',
    description: 'For this machine, and for callers with the scope `admin`.',
    response: {
      ...REFUSALS,
      200: {
        description: 'What is counted.',
        content: { 'text/plain': { schema: schemas.metrics } },
      },
      403: problemOf('The token has not the scope admin.'),
    },
  };
  app.get('/metrics', { schema }, async (request, reply) => {
    checkMetricsAccess(request.raw, request.session);
    const { contentType, text } = await page();
    return reply.header('content-type', contentType).send(Buffer.from(text) as never);
  });
}
