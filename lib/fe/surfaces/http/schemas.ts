/**
 * Everything that goes in and out over HTTP, in one place: the types, the checks of requests, and
 * the OpenAPI document are derived from it.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { isWellFormed } from '../../../protocol/bytes.ts';
import { BATCH_ITEMS_MAX, ID_BYTES_MAX, NAMESPACE_BYTES_MAX } from '../../../protocol/limits.ts';

/**
 * A key for the examples of /docs, so that they can open what they stored. Drawn at each start and
 * shown to anyone who reads the document, so it is for nothing else.
 */
const EXAMPLE_KEY = randomBytes(32).toString('hex');
const EXAMPLE_ID = 'docs-example';
/** For what must not get in the way of the other examples, in whatever order they are sent. */
const OTHER_EXAMPLE_ID = 'docs-example-2';
const EXAMPLE_HEX_ID = Buffer.from(EXAMPLE_ID).toString('hex');

const HEX = /^(?:[0-9A-Fa-f]{2})*$/;
/** A schema as the document has it. */
function shapeOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _dialect, ...shape } = z.toJSONSchema(schema, { io });
  return shape;
}

/** An answer without a body. */
export const nothing = z.null();

/** The body `null`: said in words, as generators of clients make nothing of a type with one value. */
export const nullBody = z.any().describe('null');

/** Without its format, generators of clients take it for one of 32 bits. */
const int64 = () => z.int().meta({ format: 'int64' });

// --- /data -------------------------------------------------------------------------------

/**
 * As the demo takes it: `"5"` is 5, and so is `5.0`, which JSON Schema counts as an integer, too.
 */
const decimal = z
  .string()
  .regex(/^[+-]?\d{1,16}(?:\.0{1,16})?$/)
  .transform(Number)
  .refine(Number.isSafeInteger);
const integer = z.union([int64(), decimal]);
const BOUNDS = {
  format: 'int64',
  minimum: Number.MIN_SAFE_INTEGER,
  maximum: Number.MAX_SAFE_INTEGER,
};
/** For a path or a query, where everything is text. */
const integerText = decimal.meta({ type: 'integer', ...BOUNDS });
const countText = decimal.pipe(z.int().min(1)).meta({ type: 'integer', ...BOUNDS, minimum: 1 });

export const newItem = z
  .object({
    id: integer.describe(
      'The ID to store it under; if that is taken, the one after the highest is used. After ' +
        '9007199254740991 there is none: 409.',
    ),
    // An empty text is refused by the route with 400, as in the demo, and not here with 422.
    data: z.string().refine(isWellFormed).meta({ minLength: 1 }),
  })
  .meta({ example: { id: 1, data: 'TestString' } });

export const item = z
  .object({ id: int64(), data: z.string() })
  .describe('The item, with the ID that it is stored under.');

export const itemPath = z.object({ item_id: integerText.meta({ example: 1 }) });

export const itemsQuery = z.object({
  after: integerText.optional().describe('Only IDs above this one.'),
  limit: countText.optional().describe('So many IDs at the most.'),
});

export const itemIds = z.array(int64()).describe('IDs in ascending order.');

export const detail = z.object({ detail: z.string() });

export const complaints = z.object({
  detail: z.array(
    z.object({
      loc: z.array(z.union([z.string(), int64()])),
      msg: z.string(),
      type: z.string(),
    }),
  ),
});

// --- /records ----------------------------------------------------------------------------

const hexId = z
  .string()
  .min(2)
  .max(2 * ID_BYTES_MAX)
  .regex(HEX);
/** 64 digits; 32 and 48 open what was moved from the family's servers. */
const HEX_KEY = '[0-9A-Fa-f]{32}|[0-9A-Fa-f]{48}|[0-9A-Fa-f]{64}';
const hexKey = z.string().regex(new RegExp(`^(?:${HEX_KEY})$`));

export const newGoRecord = z
  .object({
    id: hexId.describe('User ID, in hexadecimal digits.'),
    key: z
      .string()
      .regex(new RegExp(`^(?:|${HEX_KEY})$`))
      .default('')
      .describe("Empty for a fresh key, or the caller's own."),
    data: z.string().regex(HEX).describe('The record, in hexadecimal digits.'),
  })
  .meta({
    example: {
      id: EXAMPLE_HEX_ID,
      key: EXAMPLE_KEY,
      data: Buffer.from('hello').toString('hex'),
    },
  });

export const goRecord = z.object({ id: z.string(), key: z.string(), data: z.string() });

export const goPath = z.object({ id: hexId.meta({ example: EXAMPLE_HEX_ID }) });

export const goQuery = z.object({ key: hexKey.meta({ example: EXAMPLE_KEY }) });

export const message = z.object({ message: z.string() });

// --- /v1/records -------------------------------------------------------------------------

function pathOf(example: string) {
  const id = z.string().min(1).describe('User ID of 1 to 1,024 bytes.');
  return z.object({ id: id.meta({ maxLength: ID_BYTES_MAX, example }) });
}

export const recordPath = pathOf(EXAMPLE_ID);
/** The page shows `rekey` below `DELETE`, which therefore spares the record of the examples. */
export const deletePath = pathOf(OTHER_EXAMPLE_ID);

/** Percent-encoded bytes (RFC 3986 section 2.1): visible ASCII, each `%` with two hex digits. */
function percentEncoded(bytesMin: number, bytesMax: number) {
  return z.string().regex(new RegExp(`^(?:[!-$&-~]|%[0-9A-Fa-f]{2}){${bytesMin},${bytesMax}}$`));
}

/** RFC 9110 section 8.8.3; in a list, empty elements are passed over (section 5.6.1). */
const TAG = '(?:W/)?"[!#-~\\u0080-\\u00ff]*"';
const entityTags = z
  .string()
  .regex(new RegExp(`^(?:\\*|[ \\t,]*${TAG}(?:[ \\t]*,(?:[ \\t]*${TAG})?)*[ \\t]*)$`))
  .describe('Entity tags in double quotes, or *.');

const shared = {
  'enc-namespace': percentEncoded(0, NAMESPACE_BYTES_MAX)
    .optional()
    .describe('Namespace of at most 255 bytes, percent-encoded. Default: none.'),
  'if-match': entityTags.optional(),
  'if-none-match': entityTags.optional(),
};

const key = hexKey.describe('Record key, 64 hexadecimal digits.').meta({ example: EXAMPLE_KEY });

function idHeader(example: string) {
  const words = 'User ID of 1 to 1,024 bytes, percent-encoded; any bytes.';
  return { 'enc-record-id': percentEncoded(1, ID_BYTES_MAX).describe(words).meta({ example }) };
}

const id = idHeader(EXAMPLE_ID);

const life = {
  'enc-old-key': hexKey.optional().describe('Key of the record that is replaced: 403 if another.'),
  'enc-ttl': z
    .string()
    .regex(/^[1-9]\d{0,9}$/)
    .optional()
    .describe('How long the record lives, in seconds.')
    .meta({ example: '3600' }),
  'enc-expires': z.iso
    .datetime({ offset: true })
    .optional()
    .describe('When the record ends (RFC 3339); instead of Enc-Ttl.')
    // The pattern says it all; openapi-python-client passes over a route with such a header.
    .meta({ format: undefined }),
  'enc-once': z.enum(['1']).optional().describe('The record can be read once.'),
};

const reader = {
  'enc-reader': z
    .string()
    .regex(/^(?:[0-9A-Fa-f]{2}){16,64}$/)
    .optional()
    .describe(
      'Random, 16 to 64 bytes in hexadecimal digits: who sends the same again within a minute ' +
        'may read a record again that can be read once; If-Match is not looked at then.',
    ),
};

/** Headers of requests that need no key, and of those that do. Other headers are ignored. */
export const headers = z.looseObject({ ...shared, 'enc-record-key': key.optional() });
export const headHeaders = headers.extend(reader);
export const headersWithKey = z.looseObject({ ...shared, ...reader, 'enc-record-key': key });
export const storeHeaders = headers.extend(life);
export const rekeyHeaders = z.looseObject({
  ...shared,
  'enc-old-key': key.describe('The key that the record has now.'),
  'enc-record-key': key.describe('The new key, drawn by the caller and kept before this is sent.'),
});
export const headHeadersWithId = headHeaders.extend(id);
export const deleteHeadersWithId = headers.extend(idHeader(OTHER_EXAMPLE_ID));
export const headersWithIdAndKey = headersWithKey.extend(id);
export const storeHeadersWithId = storeHeaders.extend(id);
export const rekeyHeadersWithId = rekeyHeaders.extend(id);

/** The headers that the routes look at. */
export type RecordHeaders = {
  readonly [name in keyof (z.output<typeof headersWithIdAndKey> &
    z.output<typeof storeHeaders>) as string extends name ? never : name]?: string | undefined;
};

export const record = z.any().meta({ type: 'string', example: 'hello' });

export const stored = z.object({
  key: z
    .string()
    .optional()
    .describe('The only key that opens the record. Absent where the caller sent its own.'),
  revision: z.string().describe('16 hexadecimal digits that name this very write; the ETag.'),
  replaced: z.boolean().describe('Whether a record was there before.'),
});

export const problem = z.object({
  type: z.literal('about:blank'),
  title: z.string().describe('What is wrong.'),
  status: int64(),
  detail: z.string().describe('What to do about it.'),
  code: z.string().describe('Stable; match on this.'),
});

/** For the document's description of all routes. */
export const problemShape = shapeOf(problem, 'output');

// --- /v1/batch and lists -------------------------------------------------------------------

/** Groups of four would be counted on the stack, which ends at some three million bytes. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const base64 = z
  .string()
  .regex(BASE64)
  .refine((text) => text.length % 4 === 0);
const ID_BASE64_MAX = 4 * Math.ceil(ID_BYTES_MAX / 3);
const batchName = {
  id: z.string().min(1).refine(isWellFormed).optional().describe('User ID, as text in UTF-8.'),
  id64: base64
    .min(4)
    .max(ID_BASE64_MAX)
    .optional()
    .describe('User ID of any bytes, in base64; instead of id.'),
  namespace: z.string().refine(isWellFormed).optional().describe('At most 255 bytes in UTF-8.'),
};
/** Strict, as a misspelt condition would otherwise be no condition. */
const batchStore = z.strictObject({
  op: z.literal('store'),
  ...batchName,
  record: z.string().refine(isWellFormed).optional().describe('The record, as text in UTF-8.'),
  record64: base64.optional().describe('The record, in base64; instead of record.'),
  key: hexKey.optional().describe("The caller's own key; without it, one is drawn."),
  oldKey: hexKey.optional(),
  contentType: z.string().max(255).optional(),
  expires: z.iso.datetime({ offset: true }).optional(),
  once: z.boolean().optional(),
  ifAbsent: z.boolean().optional(),
  ifRevision: z
    .string()
    .regex(/^[0-9A-Fa-f]{16}$/)
    .optional(),
});
const batchRetrieve = z.strictObject({ op: z.literal('retrieve'), ...batchName, key: hexKey });
const batchDelete = z.strictObject({
  op: z.literal('delete'),
  ...batchName,
  key: hexKey.optional(),
});

export const batchItem = z.discriminatedUnion('op', [batchStore, batchRetrieve, batchDelete]);
export type HttpBatchItem = z.output<typeof batchItem>;

/** Items are described here, but checked one by one: a malformed one must not affect the others. */
const anyItem = z.unknown().meta(shapeOf(batchItem, 'input'));
export const batch = z.strictObject({ items: z.array(anyItem).max(BATCH_ITEMS_MAX) }).meta({
  example: {
    items: [
      { op: 'store', id: OTHER_EXAMPLE_ID, record: 'hello', key: EXAMPLE_KEY },
      { op: 'delete', id: 'docs-example-3' },
    ],
  },
});

const batchAnswer = z.object({
  status: int64().describe('What the request alone would have been answered with.'),
  key: z.string().optional().describe('Of a store: the only key, unless the item had one.'),
  revision: z.string().optional().describe('Of a store or a retrieve: as in ETag.'),
  replaced: z.boolean().optional().describe('Of a store: whether a record was there before.'),
  record64: z.string().optional().describe('Of a retrieve: the record, in base64.'),
  contentType: z.string().optional().describe('Of a retrieve: as it was stored, if it was.'),
  expires: z.string().optional().describe('Of a retrieve: when the record ends, if it does.'),
  existed: z.boolean().optional().describe('Of a delete: whether there was a record.'),
  code: z.string().optional().describe('Of a failure: stable; match on this.'),
  title: z.string().optional().describe('Of a failure: what is wrong.'),
  detail: z.string().optional().describe('Of a failure: what to do about it.'),
});
export type HttpBatchAnswer = z.output<typeof batchAnswer>;

export const batchAnswers = z.object({
  items: z.array(batchAnswer).describe('One answer for each item, in their order.'),
});

export const listHeaders = z.looseObject({ 'enc-namespace': shared['enc-namespace'] });
export const listQuery = z.object({
  after: z
    .string()
    .regex(/^(?:[0-9a-f]{22}|[0-9a-f]{54})$/)
    .optional()
    .describe('next of the page before.'),
  limit: z
    .string()
    .regex(/^(?:[1-9]\d{0,3}|10000)$/)
    .optional()
    .describe('So many IDs at the most, 1 to 10,000; default 1,000.')
    .meta({ example: '100' }),
});
export const listed = z.object({
  ids: z.array(z.string()).describe('IDs, percent-encoded as in Enc-Record-Id, in no order.'),
  next: z.string().optional().describe('To be sent as after; absent at the end.'),
});

// --- the server itself --------------------------------------------------------------------

export const alive = z.object({ alive: z.literal(true) });

export const metrics = z.string().describe('The text format of Prometheus.');

export const readiness = z.object({
  ready: z.boolean(),
  missing: z.array(z.string()).describe('What the server waits for, in words.'),
});

export const status = z.object({
  version: z.string(),
  tls: z.boolean().describe('Whether this request came through TLS.'),
  caller: z.string().optional().describe('Who asks; absent where nobody has to say so.'),
  needsToken: z.boolean().describe('Whether whoever asks must send an access token first.'),
  recordBytesMax: int64().describe('Longest record that is taken.'),
  ready: z.boolean().optional(),
  backEnd: z.boolean().optional().describe('Whether the back end answers.'),
  store: z.string().optional().describe('What the back end keeps records in.'),
});
