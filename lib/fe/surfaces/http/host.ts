/** What all routes share. */
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Gate } from '../../../access.ts';
import type { Logger } from '../../../log.ts';
import type { Page } from '../../../metrics.ts';
import type { Budget } from '../../../net/budget.ts';
import type { TrustedProxies } from '../../../net/http-session.ts';
import { RequestContext } from '../../../net/request.ts';
import type { Session } from '../../../net/session.ts';
import type { Outcome, Traffic } from '../../../net/traffic.ts';
import { FRAME_OVERHEAD_BYTES, type Limits } from '../../../protocol/limits.ts';
import type { Items } from '../../items.ts';
import type { FrontEndState } from '../../readiness.ts';
import type { FeService } from '../../service.ts';

export interface HttpHost {
  readonly service: FeService;
  readonly items: Items;
  readonly limits: Limits;
  readonly budget: Budget;
  readonly log: Logger;
  /** Where the server listens. */
  readonly host: string;
  /** Other names of the server, besides that host and loopback. */
  readonly allowedHosts: string;
  readonly gate: Gate;
  readonly traffic: Traffic;
  /** The page of metrics. Rejects with `UNAVAILABLE`. */
  readonly page: () => Promise<Page>;
  readonly trustedProxies: TrustedProxies;
  /** What the server waits for, and what is known of the back end. */
  readonly state: () => Promise<FrontEndState>;
}

/** Fastify, with types from the schemas. */
export type HttpApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

declare module 'fastify' {
  interface FastifyRequest {
    /** The caller; set before any route is reached. */
    session: Session;
    /** The outcome, as it is counted. */
    outcome: Outcome;
    /** The request's context; undefined before a route has made one. */
    context: RequestContext | undefined;
  }
}

/** The context of a request, made by whoever asks first; its time starts now. */
export function contextOf(
  request: Pick<FastifyRequest, 'session' | 'context' | 'headers'>,
  limits: Limits,
): RequestContext {
  if (request.context !== undefined) return request.context;
  const context = new RequestContext(request.session, limits.requestTimeoutMs);
  // Node joins two headers with a comma, which makes the value invalid.
  const { traceparent } = request.headers;
  context.follow(typeof traceparent === 'string' ? traceparent : undefined);
  request.context = context;
  return context;
}

/** Hexadecimal digits take twice the bytes of a record, and texts in JSON about as many. */
export function jsonBytesMax(limits: Limits): number {
  return 2 * limits.recordBytesMax + FRAME_OVERHEAD_BYTES;
}
