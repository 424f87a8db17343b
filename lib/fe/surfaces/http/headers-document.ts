/** What the document says of the headers of answers, so that generated clients can read them. */

const text = (description: string) => ({ description, schema: { type: 'string' } });

const ETAG = text('The revision of the record, in quotes: for If-Match and If-None-Match.');
const EXPIRES = text('When the record ends (RFC 3339); absent if it does not.');
const READ = { ETag: ETAG, 'Enc-Expires': EXPIRES };
const RETRY = {
  'Retry-After': {
    description: 'After how many seconds to try again.',
    schema: { type: 'integer', format: 'int64' },
  },
};

type Headers = Readonly<Record<string, object>>;
type ByStatus = Readonly<Record<string, Headers>>;

/** Headers of failures, the same on each route. */
const OF_FAILURES: ByStatus = {
  401: { 'WWW-Authenticate': text('Bearer: an access token is what it takes.') },
  429: RETRY,
  503: RETRY,
};
/** Headers of answers about one record. */
const OF_RECORDS: Readonly<Record<string, ByStatus>> = {
  put: { 200: { ETag: ETAG }, 201: { ETag: ETAG } },
  get: { 200: READ, 304: READ, 412: READ },
  head: { 200: READ, 304: READ, 412: READ },
  post: { 200: { ETag: ETAG } },
};
const RECORD = /^\/v1\/record(?:$|s?\/)/;

/** The headers of an answer; undefined if it has none of its own. */
export function headersOf(path: string, method: string, status: string): Headers | undefined {
  // What is not ready says what is missing, and not for how long.
  if (path === '/readyz') return undefined;
  const own = RECORD.test(path) ? OF_RECORDS[method]?.[status] : undefined;
  return own ?? OF_FAILURES[status];
}
