/** What the document says of failures: those of one route, of most routes, and of all. */
import type { SwaggerTransformObject } from '@fastify/swagger';
import { headersOf } from './headers-document.ts';
import * as schemas from './schemas.ts';

const PROBLEM_TYPE = 'application/problem+json';

export function problemOf(description: string) {
  return { description, content: { [PROBLEM_TYPE]: { schema: schemas.problem } } };
}

/** Failures before a route looks at its request. */
export const REFUSALS = {
  401: problemOf('A token is needed, or the one that was sent is not valid.'),
  403: problemOf('A token stands in the URL, or the request comes from a page elsewhere.'),
  429: problemOf('Too many requests, or too many wrong keys.'),
  500: problemOf('The stored bytes were changed, or the server has a defect.'),
  503: problemOf('Not now: the back end cannot be reached, or there is too much to do.'),
};

/** Failures of routes that ask the back end. A route's own description of one overrides these. */
export const FAILURES = {
  ...REFUSALS,
  400: problemOf('Something in the request is malformed.'),
  502: problemOf('Whether it was done is not known.'),
  504: problemOf('It took too long.'),
};

/** Failures of routes that write. */
export const WRITE_FAILURES = {
  ...FAILURES,
  503: problemOf('Not now: as elsewhere, or others keep writing this very record.'),
};

/** A failure of HEAD has no body either. */
export const HEAD_FAILURES = Object.fromEntries(
  [400, 401, 403, 410, 412, 413, 429, 500, 502, 503, 504].map((status) => [
    status,
    schemas.nothing.describe('As for GET.'),
  ]),
);

/** Failures of requests that reach no route: the same everywhere, so described once. */
const ANYWHERE: Readonly<Record<string, string>> = {
  400: 'This is no HTTP/1.1 request.',
  408: 'The request did not arrive in time.',
  417: 'Expect asks for something other than 100-continue.',
  431: 'All headers together are longer than 16 KiB.',
  503: 'The server has as many connections, or as much to do, as it may.',
};

/** For the components of the document. */
export const COMMON_FAILURES = Object.fromEntries(
  Object.entries(ANYWHERE).map(([status, description]) => [
    status,
    { description, content: { [PROBLEM_TYPE]: { schema: schemas.problemShape } } },
  ]),
);

interface Operation {
  readonly responses: Record<string, object>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/**
 * Adds to each operation the headers of its answers, and the failures that can happen anywhere,
 * unless it describes its own.
 */
export const completeAnswers: SwaggerTransformObject = (made) => {
  if (!('openapiObject' in made)) return made.swaggerObject;
  // The types allow for everything that a path may have; here there are only operations.
  const { paths } = made.openapiObject as unknown as Document;
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { responses }] of Object.entries(operations)) {
      for (const [status, response] of Object.entries(responses)) {
        const headers = headersOf(path, method, status);
        if (headers !== undefined) responses[status] = { ...response, headers };
      }
      for (const status of Object.keys(ANYWHERE)) {
        responses[status] ??= { $ref: `#/components/responses/${status}` };
      }
    }
  }
  return made.openapiObject;
};
