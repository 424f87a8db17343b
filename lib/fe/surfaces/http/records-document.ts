/** What the document says of `/v1/records`, and what is checked of its requests. */
import * as schemas from './schemas.ts';

const TAGS = ['records'];
const OCTETS = ['text/plain', 'application/octet-stream'];

type Path = '/v1/records/:id' | '/v1/record';

export function problemOf(description: string) {
  return {
    description,
    content: { 'application/problem+json': { schema: schemas.problem } },
  };
}

export const FAILURES = {
  400: problemOf('Something in the request is malformed.'),
  401: problemOf('A token is needed, or the one that was sent is not valid.'),
  429: problemOf('Too many requests, or too many wrong keys.'),
  500: problemOf('The stored bytes were changed, or the server has a defect.'),
  502: problemOf('Whether it was done is not known.'),
  503: problemOf('Not now: the back end cannot be reached, or there is too much to do.'),
  504: problemOf('It took too long.'),
};
/** To HEAD no failure has a body either. */
const HEAD_FAILURES = Object.fromEntries(
  [400, 401, 403, 410, 412, 413, 429, 500, 502, 503, 504].map((status) => [
    status,
    schemas.nothing.describe('As for GET.'),
  ]),
);
const NOT_FOUND = problemOf('There is no such record.');
const WRONG_KEY = problemOf('The key is another one.');
const ALREADY_READ = problemOf('The record could be read once, and was.');
const TOO_LARGE = problemOf('The record is larger than the server takes.');
const PRECONDITION_FAILED = problemOf('If-Match or If-None-Match does not hold.');
const NOT_MODIFIED = schemas.nothing.describe('The record is the one of If-None-Match.');

/** The schemas of one path, by method. */
export function describeRecords(path: Path) {
  const inPath = path !== '/v1/record';
  const where = inPath ? '' : ', named by a header';
  const params = inPath ? { params: schemas.recordPath } : {};
  const headers = inPath ? schemas.headers : schemas.headersWithId;
  const headersWithKey = inPath ? schemas.headersWithKey : schemas.headersWithIdAndKey;
  const storeHeaders = inPath ? schemas.storeHeaders : schemas.storeHeadersWithId;
  const rekeyHeaders = inPath ? schemas.rekeyHeaders : schemas.rekeyHeadersWithId;
  return {
    put: {
      tags: TAGS,
      summary: `Store a record${where}`,
      description:
        'The body is the record, of any type; its Content-Type is sealed with it. The key is in ' +
        'the answer, and nowhere else: who loses it has shredded the record.',
      ...params,
      headers: storeHeaders,
      consumes: OCTETS,
      body: schemas.record,
      response: {
        200: schemas.stored.describe('Stored; it replaced a record.'),
        201: schemas.stored.describe('Stored; nothing was there before.'),
        403: problemOf('A record is there, and its current key is needed.'),
        412: PRECONDITION_FAILED,
        413: TOO_LARGE,
        415: problemOf('Content-Type is no media type.'),
        ...FAILURES,
      },
    },
    get: {
      tags: TAGS,
      summary: `Retrieve a record${where}`,
      ...params,
      headers: headersWithKey,
      response: {
        200: {
          description: 'The record, with the type that it was stored with. ETag is its revision.',
          content: { '*/*': { schema: schemas.record } },
        },
        304: NOT_MODIFIED,
        403: WRONG_KEY,
        404: NOT_FOUND,
        409: problemOf('Others read it at the same moment.'),
        410: ALREADY_READ,
        412: PRECONDITION_FAILED,
        413: TOO_LARGE,
        ...FAILURES,
      },
    },
    head: {
      tags: TAGS,
      summary: `Look whether a record is there${where}`,
      description: 'Without a key, only ETag is told.',
      ...params,
      headers,
      response: {
        200: schemas.nothing.describe('ETag is the revision of the record.'),
        304: NOT_MODIFIED,
        404: schemas.nothing.describe('There is no such record.'),
        ...HEAD_FAILURES,
      },
    },
    rekey: {
      tags: TAGS,
      summary: `Seal a record anew under another key${where}`,
      description: 'Everything else of the record stays. Sent again, it succeeds.',
      ...params,
      headers: rekeyHeaders,
      response: {
        200: schemas.stored.describe('The record has the new key now.'),
        403: WRONG_KEY,
        404: NOT_FOUND,
        409: problemOf('Others write the record all the time.'),
        410: ALREADY_READ,
        413: TOO_LARGE,
        ...FAILURES,
      },
    },
    delete: {
      tags: TAGS,
      summary: `Delete a record${where}, whether there is one or not`,
      description: 'With a key, only if it is the right one.',
      ...params,
      headers,
      response: {
        204: schemas.nothing.describe('There is no such record any more.'),
        403: WRONG_KEY,
        412: PRECONDITION_FAILED,
        ...FAILURES,
      },
    },
  };
}
