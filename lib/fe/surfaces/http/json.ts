/** JSON bodies, read before the schemas check them. */
import { isUtf8 } from 'node:buffer';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { refuseNobody } from '../../../access.ts';
import { StatusError } from './answers.ts';
import { ignoreType, readBody } from './body.ts';
import { contextOf, type HttpHost, jsonBytesMax } from './host.ts';

/** `application/json`, and types that are JSON underneath (RFC 6839). */
const JSON_TYPE = /^application\/(?:json|[\w.!#$&^-]+\+json)\s*(?:;|$)/i;

/**
 * The hooks that make `request.body` the parsed body, for routes that answer malformed bodies with
 * `status`. A body without a type counts as JSON.
 */
export function takeJson(host: HttpHost, status: number) {
  return { onRequest: checkType(status), preValidation: readJson(host, status) };
}

/**
 * Runs before Fastify looks at the type, which would answer 415 for a malformed one. Callers that
 * have not identified themselves are refused first.
 */
function checkType(status: number) {
  return (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    refuseNobody(request.session.caller);
    const type = request.headers['content-type'];
    if (type === undefined || JSON_TYPE.test(type)) {
      ignoreType(request, reply, done);
      return;
    }
    const hint = 'send Content-Type: application/json';
    done(new StatusError(status, 'INVALID_FIELD', 'the body is not JSON', { hint }));
  };
}

function readJson(host: HttpHost, status: number) {
  const bytesMax = jsonBytesMax(host.limits);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const context = contextOf(request, host.limits);
    const bytes = await readBody(request, reply, host.budget, bytesMax, context);
    request.body = bytes.length === 0 ? undefined : parse(bytes, status);
  };
}

/** JSON.parse's message quotes the text, so it is not passed on. */
function parse(bytes: Buffer, status: number): unknown {
  try {
    if (isUtf8(bytes)) return JSON.parse(bytes.toString('utf8'));
  } catch {
    // Reported below.
  }
  const hint = 'see RFC 8259';
  throw new StatusError(status, 'INVALID_FIELD', 'the body is no JSON in UTF-8', { hint });
}
