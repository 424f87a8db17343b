/**
 * Failures in the three forms that HTTP clients expect: `{"detail"}` on `/data` (the demo's),
 * `{"message"}` on `/records` (the Go client's), problem details (RFC 9457) everywhere else.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import {
  EncServerError,
  type ErrorCode,
  type ErrorFacts,
  toEncServerError,
} from '../../../errors.ts';
import type { Logger } from '../../../log.ts';
import { PROBLEM_HEADERS, problemBody, retryAfterS } from '../../../net/refusals.ts';
import { type Complaint, complaintsOf, type Invalid } from './complaints.ts';

/** An error whose HTTP status differs from that of its code in the table. */
export class StatusError extends EncServerError {
  readonly status: number;

  constructor(status: number, code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(code, message, facts);
    this.status = status;
  }
}

/** What an answer is built from, in any form. */
export interface Failure {
  readonly status: number;
  readonly error: EncServerError;
}

/** Paths of the demo's interface. */
const DATA = /^\/data(?:[/?]|$)/;
/** Paths of the Go client's interface. */
const GO_RECORDS = /^\/records(?:[/?]|$)/;

/** The error handler of all routes. */
export function answerError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
): FastifyReply {
  if (DATA.test(routeOf(request)) && hasZodFastifySchemaValidationErrors(thrown)) {
    return reply.code(422).send({ detail: complaintsOf(thrown, request) });
  }
  const failure = failureOf(thrown, request);
  if (failure.error.code === 'INTERNAL') {
    log.error({ err: failure.error, ...request.context?.traceFields }, 'a request failed');
  }
  return answerFailure(failure, request, reply);
}

export function answerFailure(
  { status, error }: Failure,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  request.outcome = error.code;
  reply.code(status);
  // A client waiting for 100 Continue never sends the body, or sends it as if it were the next
  // request.
  if (request.headers.expect !== undefined && !request.raw.readableDidRead) {
    reply.header('connection', 'close');
  }
  const waitS = retryAfterS(error, status);
  if (waitS !== undefined) reply.header('retry-after', waitS);
  // RFC 9110 section 11.6.1.
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  const url = routeOf(request);
  if (DATA.test(url)) return reply.send({ detail: detailOf(status, error) });
  if (GO_RECORDS.test(url)) return reply.send({ message: `${error.message}; ${error.hint}` });
  // Not by `type()`, which would add a charset that the media type does not have.
  reply.header('content-type', PROBLEM_HEADERS['Content-Type']);
  return reply.send(Buffer.from(problemBody(error, status)));
}

/** The route, however its path was written; the path as written if there is no such route. */
function routeOf({ routeOptions, url }: FastifyRequest): string {
  return routeOptions.url ?? url;
}

/** The demo answers 422 with a list of complaints, and everything else with a text. */
function detailOf(status: number, error: EncServerError): string | Complaint[] {
  if (status !== 422) return `${error.message}; ${error.hint}`;
  return [{ loc: ['body'], msg: error.message, type: 'value_error.jsondecode' }];
}

function failureOf(thrown: unknown, request: FastifyRequest): Failure {
  if (thrown instanceof StatusError) return { status: thrown.status, error: thrown };
  if (hasZodFastifySchemaValidationErrors(thrown)) {
    const error = invalidInput(thrown, request);
    return { status: error.row.http, error };
  }
  const status = statusOf(thrown);
  if (status !== undefined) return { status, error: refusedByFramework(status) };
  const error = toEncServerError(thrown);
  return { status: error.row.http, error };
}

/** The inputs that have an error code of their own. Paths come as `/name`. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  '/id': 'INVALID_ID',
  '/enc-record-id': 'INVALID_ID',
  '/key': 'INVALID_KEY',
  '/enc-record-key': 'INVALID_KEY',
  '/enc-namespace': 'INVALID_NAMESPACE',
};

/** An ID over `/records`. */
const HEX_ID = 'an ID has 1 to 1024 bytes, each in two hexadecimal digits';

/** Where an input is wrong. */
export const EXPECTED = 'see /docs for what is expected';

/** `what` has it: words for the input, which quote nothing of it. */
export function unknownField(what: string): EncServerError {
  const words = `${what} has a field that is not known`;
  return new EncServerError('UNKNOWN_FIELD', words, { hint: EXPECTED });
}

function invalidInput(invalid: Invalid, request: FastifyRequest): EncServerError {
  const { instancePath: path = '/', keyword } = invalid.validation[0] ?? {};
  const [, name = ''] = path.split('/');
  const what = name === '' ? 'the body' : `"${name}"`;
  if (givenValue(invalid, name, request) === undefined) {
    return new EncServerError('MISSING_FIELD', `${what} is missing`, { hint: EXPECTED });
  }
  if (keyword === 'unrecognized_keys') {
    return unknownField(what);
  }
  const code = CODES[path] ?? 'INVALID_FIELD';
  return new EncServerError(code, `${what} is malformed`, {
    ...(code === 'INVALID_FIELD' && { hint: EXPECTED }),
    ...(code === 'INVALID_ID' && GO_RECORDS.test(routeOf(request)) && { hint: HEX_ID }),
  });
}

function givenValue(invalid: Invalid, name: string, request: FastifyRequest): unknown {
  const { headers, query, params, body } = request;
  const inputs: Record<string, unknown> = { headers, querystring: query, params, body };
  const input = inputs[String(invalid.validationContext)];
  return name === '' ? input : (input as Record<string, unknown> | undefined)?.[name];
}

/**
 * The status of an error that Fastify found in a request; undefined if it is the server's error.
 */
function statusOf(thrown: unknown): number | undefined {
  const { statusCode } = thrown as { statusCode?: unknown };
  return typeof statusCode === 'number' && statusCode < 500 ? statusCode : undefined;
}

/** What Fastify, and its plugin for the files of /docs, refuse. */
const REFUSALS: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  403: ['NOT_ALLOWED', 'nothing is served under such a path'],
  412: ['CONFLICT', 'the page is not the one that the request is for'],
  415: ['INVALID_FIELD', 'Content-Type is no media type'],
  416: ['INVALID_FIELD', 'Range is beyond the end of the page'],
};

/** Fastify's own message may quote the request, so only harmless text is sent. */
function refusedByFramework(status: number): EncServerError {
  const [code, words] = REFUSALS[status] ?? ['INVALID_FIELD', 'the request is malformed'];
  return new EncServerError(code, words, { hint: 'see /docs for what is expected' });
}
