/**
 * HTTP on the front end's port: Fastify with its routes. Loaded at the first HTTP connection, so
 * that a server that speaks only frames stays small and starts fast.
 */
import fastify from 'fastify';
import { validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { EncServerError } from '../../../errors.ts';
import { type HttpSurface, httpServerOptions } from '../../../net/http-door.ts';
import { checkHost, checkTarget } from '../../../net/http-head.ts';
import { answerClientError, checkAnswerable } from '../../../net/http-refusals.ts';
import { sessionOf } from '../../../net/http-session.ts';
import { answerError, answerFailure } from './answers.ts';
import { addBatchRoutes } from './batch.ts';
import { giveBackRoom, sliceLarge } from './body.ts';
import { addConsole } from './console.ts';
import { addDataRoutes } from './data.ts';
import { addDocuments } from './documents.ts';
import { addGoRoutes } from './go-records.ts';
import { HostGuard } from './guard.ts';
import type { HttpApp, HttpHost } from './host.ts';
import { answerMissingPage, answerMissingRoute, Routes } from './missing-routes.ts';
import { addProbes, PROBE } from './probes.ts';
import { addRecordRoutes } from './records.ts';
import { countTraffic } from './traffic.ts';
import { Turns } from './turns.ts';

/** Node's bound on all headers together, so that no path is too long to be answered. In bytes. */
const PARAM_BYTES_MAX = 16 * 1024;

/** Sent with every answer; the pages at / and /docs have policies of their own. */
const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
};

/** The server behind the door of a front end's port. */
export async function openFeHttp(host: HttpHost): Promise<HttpSurface> {
  const app = createApp(host);
  app.decorateRequest('session');
  const routes = new Routes(app);
  const guard = new HostGuard(host.host, host.allowedHosts);
  const turns = new Turns();
  countTraffic(app, host);
  app.addHook('onRequest', async (request, reply) => {
    await turns.take(request.raw.socket, reply.raw);
    checkAnswerable(request.raw);
  });
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(SECURITY_HEADERS);
    checkHost(request.raw);
    checkTarget(request.raw);
    if (!PROBE.test(request.url)) {
      guard.check(request.headers);
      request.session = sessionOf(request.raw, host.gate, host.trustedProxies);
    }
    // Done here, before a body or its type is looked at.
    if (request.is404) answerMissingRoute(routes, request, reply);
    else done();
  });
  app.addHook('onSend', giveBackRoom);
  app.addHook('onSend', sliceLarge(host.limits));
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, host.log));
  // Called by the plugin that serves the files of /docs; other paths end in the hook above.
  app.setNotFoundHandler(answerMissingPage);
  await addDocuments(app);
  addProbes(app, host);
  addConsole(app, host);
  addDataRoutes(app, host);
  addGoRoutes(app, host);
  addRecordRoutes(app, host);
  addBatchRoutes(app, host);
  await app.ready();
  // Routes that read a body send 100 Continue themselves, once there is room for it.
  app.server.on('checkContinue', (request, response) => {
    app.server.emit('request', request, response);
  });
  return { server: app.server, close: () => app.close() };
}

function createApp({ limits, traffic }: HttpHost): HttpApp {
  const app = fastify({
    http: httpServerOptions(limits),
    // We log ourselves: URLs hold IDs, and those of /records also keys.
    logger: false,
    clientErrorHandler: answerClientError,
    routerOptions: { maxParamLength: PARAM_BYTES_MAX },
    frameworkErrors: (_error, request, reply) => {
      // No hook runs for such a request.
      traffic.note('http', 'other', 'INVALID_FIELD', performance.now());
      reply.headers(SECURITY_HEADERS);
      const hint = 'paths are percent-encoded UTF-8; Enc-Record-Id takes any bytes';
      const error = new EncServerError('INVALID_FIELD', 'the path is malformed', { hint });
      answerFailure({ status: 400, error }, request, reply);
    },
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  // Types check at compile time what we send; checking it again would only cost time.
  app.setSerializerCompiler(() => JSON.stringify);
  // Routes that take a body read it themselves, in a hook before their schema is checked.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  return app;
}
