/** What the document says of `/v1/records`, and how its requests are checked. */
import { FAILURES, HEAD_FAILURES, problemOf, WRITE_FAILURES } from './failures-document.ts';
import * as schemas from './schemas.ts';

const TAGS = ['records'];
const OCTETS = ['text/plain', 'application/octet-stream'];

type Path = '/v1/records/:id' | '/v1/record';

const NOT_FOUND = problemOf('There is no such record.');
const WRONG_KEY = problemOf('The key is another one.');
const ALREADY_READ = problemOf('The record could be read once, and was.');
const NO_REVISION = problemOf('If-Match or If-None-Match asks of a record that was read once.');
const TOO_LARGE = problemOf('The record is larger than the server takes.');
const PRECONDITION_FAILED = problemOf('If-Match or If-None-Match does not hold.');
const NOT_MODIFIED = schemas.nothing.describe('The record is the one of If-None-Match.');

/** The schemas of one path, by method. */
export function describeRecords(path: Path) {
  const inPath = path !== '/v1/record';
  const where = inPath ? '' : ', named by a header';
  const by = inPath ? '' : 'ByHeader';
  const params = inPath ? { params: schemas.recordPath } : {};
  const headersWithKey = inPath ? schemas.headersWithKey : schemas.headersWithIdAndKey;
  const storeHeaders = inPath ? schemas.storeHeaders : schemas.storeHeadersWithId;
  const rekeyHeaders = inPath ? schemas.rekeyHeaders : schemas.rekeyHeadersWithId;
  return {
    put: {
      tags: TAGS,
      operationId: `storeRecord${by}`,
      summary: `Store a record${where}`,
      description:
        'The body is the record, of any type; its Content-Type is sealed with it. The key is in ' +
        'the answer, and nowhere else: who loses it has shredded the record.',
      ...params,
      headers: storeHeaders,
      consumes: OCTETS,
      body: schemas.record,
      response: {
        ...WRITE_FAILURES,
        200: schemas.stored.describe('Stored; it replaced a record.'),
        201: schemas.stored.describe('Stored; nothing was there before.'),
        403: problemOf('A record is there, and its current key is needed.'),
        410: NO_REVISION,
        412: PRECONDITION_FAILED,
        413: TOO_LARGE,
        415: problemOf('Content-Type is no media type.'),
      },
    },
    get: {
      tags: TAGS,
      operationId: `retrieveRecord${by}`,
      summary: `Retrieve a record${where}`,
      ...params,
      headers: headersWithKey,
      response: {
        ...FAILURES,
        200: {
          description: 'The record, with the type that it was stored with. ETag is its revision.',
          content: { '*/*': { schema: schemas.record } },
        },
        304: NOT_MODIFIED,
        403: WRONG_KEY,
        404: NOT_FOUND,
        410: ALREADY_READ,
        412: PRECONDITION_FAILED,
        413: TOO_LARGE,
      },
    },
    head: {
      tags: TAGS,
      operationId: `headRecord${by}`,
      summary: `Look whether a record is there${where}`,
      description:
        'Without a key, only ETag and Enc-Expires are told; with it, what GET tells, but not the ' +
        'type and length of a record that can be read once.',
      ...params,
      headers: inPath ? schemas.headHeaders : schemas.headHeadersWithId,
      response: {
        ...HEAD_FAILURES,
        200: schemas.nothing.describe('ETag is the revision of the record.'),
        304: NOT_MODIFIED,
        404: schemas.nothing.describe('There is no such record.'),
      },
    },
    rekey: {
      tags: TAGS,
      operationId: `rekeyRecord${by}`,
      summary: `Seal a record anew under another key${where}`,
      description:
        'Everything else of the record stays. Sent again without a condition, it succeeds.',
      ...params,
      headers: rekeyHeaders,
      response: {
        ...WRITE_FAILURES,
        200: schemas.stored.describe('The record has the new key now.'),
        403: WRONG_KEY,
        404: NOT_FOUND,
        410: ALREADY_READ,
        412: PRECONDITION_FAILED,
        413: TOO_LARGE,
      },
    },
    delete: {
      tags: TAGS,
      operationId: `deleteRecord${by}`,
      summary: `Delete a record${where}, whether there is one or not`,
      description: 'With a key, only if it is the right one.',
      ...(inPath ? { params: schemas.deletePath } : {}),
      headers: inPath ? schemas.headers : schemas.deleteHeadersWithId,
      response: {
        ...WRITE_FAILURES,
        204: schemas.nothing.describe('There is no such record any more.'),
        403: WRONG_KEY,
        410: NO_REVISION,
        412: PRECONDITION_FAILED,
      },
    },
  };
}
