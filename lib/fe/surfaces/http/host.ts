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
  /** Names that it is known under, beside that one and loopback. */
  readonly allowedHosts: string;
  readonly gate: Gate;
  readonly traffic: Traffic;
  /** What is counted. Rejects with `UNAVAILABLE`. */
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
    /** Who asks; set before any route is reached. */
    session: Session;
    /** What became of it, as it is counted. */
    outcome: Outcome;
    /** What goes with it; none before a route has made one. */
    context: RequestContext | undefined;
  }
}

/** What goes with a request from here on; its time begins now. */
export function contextOf(
  request: Pick<FastifyRequest, 'session' | 'context' | 'headers'>,
  limits: Limits,
): RequestContext {
  const context = new RequestContext(request.session, limits.requestTimeoutMs);
  // Of two, Node makes one with a comma in it, which is invalid.
  const { traceparent } = request.headers;
  context.follow(typeof traceparent === 'string' ? traceparent : undefined);
  request.context = context;
  return context;
}

/** A record takes twice its bytes in hexadecimal digits, and texts in JSON about as many. */
export function jsonBytesMax(limits: Limits): number {
  return 2 * limits.recordBytesMax + FRAME_OVERHEAD_BYTES;
}
