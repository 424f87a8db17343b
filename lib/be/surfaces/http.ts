/** What a back end answers over HTTP: whether it is alive and ready, and its metrics. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Gate } from '../../access.ts';
import { EncServerError, toEncServerError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { exposition, type Family } from '../../metrics.ts';
import { type HttpSurface, httpServerOptions } from '../../net/http-door.ts';
import { checkHost } from '../../net/http-head.ts';
import { answerClientError } from '../../net/http-refusals.ts';
import { sessionOf, type TrustedProxies } from '../../net/http-session.ts';
import { checkMetricsAccess } from '../../net/metrics-access.ts';
import { PROBLEM_HEADERS, problemBody, retryAfterS } from '../../net/refusals.ts';
import { logRequest } from '../../net/request-log.ts';
import type { Outcome, Traffic } from '../../net/traffic.ts';
import type { Limits } from '../../protocol/limits.ts';

export interface BeHttpHost {
  readonly limits: Limits;
  readonly log: Logger;
  readonly gate: Gate;
  readonly traffic: Traffic;
  readonly trustedProxies: TrustedProxies;
  readonly families: () => Family[];
  /** Why the back end cannot do its work; undefined if it can. */
  readonly unreadyReason: () => string | undefined;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly outcome?: Outcome;
}

const JSON_TYPE = 'application/json';

/** The server behind the door of a back end's port. */
export async function openBeHttp(host: BeHttpHost): Promise<HttpSurface> {
  const server = createServer(httpServerOptions(host.limits), (request, response) => {
    void serve(host, request, response);
  });
  server.on('clientError', answerClientError);
  return { server, close: async () => undefined };
}

async function serve(
  host: BeHttpHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const sinceMs = performance.now();
  let answer: Answer;
  // There are only probes and metrics here.
  host.traffic.begin(false);
  try {
    answer = await answerOf(host, request);
  } catch (thrown) {
    const error = toEncServerError(thrown);
    if (error.code === 'INTERNAL') host.log.error({ err: error }, 'a request failed');
    answer = failureOf(error);
  }
  send(response, answer);
  host.traffic.end();
  const { outcome = 'ok' } = answer;
  host.traffic.note('http', 'other', outcome, sinceMs);
  const facts = { dialect: 'http', operation: 'other', outcome, sinceMs } as const;
  logRequest(host.log, { ...facts, context: undefined });
}

async function answerOf(host: BeHttpHost, request: IncomingMessage): Promise<Answer> {
  checkHost(request);
  const path = request.url?.split('?', 1)[0];
  const isProbe = path === '/healthz' || path === '/readyz';
  const session = isProbe ? undefined : sessionOf(request, host.gate, host.trustedProxies);
  if (!isProbe && path !== '/metrics') return noSuchPage();
  if (request.method !== 'GET' && request.method !== 'HEAD') return noSuchMethod();
  if (path === '/healthz') return json(200, { alive: true });
  if (session === undefined) {
    const reason = host.unreadyReason();
    const missing = reason === undefined ? [] : [reason];
    if (reason === undefined) return json(200, { ready: true, missing });
    return { ...json(503, { ready: false, missing }), outcome: 'UNAVAILABLE' };
  }
  checkMetricsAccess(request, session);
  const { contentType, text } = await exposition(host.families());
  return { status: 200, type: contentType, body: text };
}

function noSuchPage(): Answer {
  const hint = 'the back end answers /healthz, /readyz and /metrics; records are for front ends';
  return problem(new EncServerError('NOT_FOUND', 'there is no such page', { hint }), 404);
}

function noSuchMethod(): Answer {
  const hint = 'the header Allow says which methods there are';
  const answer = problem(new EncServerError('UNKNOWN_VERB', 'no such method here', { hint }), 405);
  return { ...answer, headers: { Allow: 'GET, HEAD' } };
}

function failureOf(error: EncServerError): Answer {
  const status = error.row.http;
  const answer = problem(error, status);
  if (status === 401) return { ...answer, headers: { 'WWW-Authenticate': 'Bearer' } };
  const waitS = retryAfterS(error, status);
  return waitS === undefined ? answer : { ...answer, headers: { 'Retry-After': String(waitS) } };
}

function json(status: number, body: object): Answer {
  return { status, type: JSON_TYPE, body: JSON.stringify(body) };
}

function problem(error: EncServerError, status: number): Answer {
  const type = PROBLEM_HEADERS['Content-Type'];
  return { status, type, body: problemBody(error, status), outcome: error.code };
}

function send(response: ServerResponse, { status, type, body, headers }: Answer): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    ...headers,
    'Content-Type': type,
    'Content-Length': bytes.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(bytes);
}
