/** What all routes share. */
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Logger } from '../../../log.ts';
import type { Budget } from '../../../net/budget.ts';
import { FRAME_OVERHEAD_BYTES, type Limits } from '../../../protocol/limits.ts';
import type { Items } from '../../items.ts';
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
  /** What the server waits for, in words; nothing when it is ready. */
  readonly missing: () => Promise<string[]>;
}

/** Fastify, with types from the schemas. */
export type HttpApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** A record takes twice its bytes in hexadecimal digits, and texts in JSON about as many. */
export function jsonBytesMax(limits: Limits): number {
  return 2 * limits.recordBytesMax + FRAME_OVERHEAD_BYTES;
}
