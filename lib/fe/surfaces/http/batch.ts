/** `POST /v1/batch`: many records in one request. `GET /v1/records`: the IDs of records. */
import type { RecordName } from '../../../crypto/envelope.ts';
import { EncServerError } from '../../../errors.ts';
import type { RequestContext } from '../../../net/request.ts';
import { operationOf } from '../../../net/traffic.ts';
import { expiryText } from '../../../protocol/expiry.ts';
import { LIST_IDS } from '../../../protocol/limits.ts';
import { encodePercent } from '../../../protocol/percent.ts';
import { doBatch, type ItemOutcome, shareOf } from '../../batches.ts';
import { namespaceFor } from '../../reserved.ts';
import type { FeService } from '../../service.ts';
import { ALWAYS, IF_ABSENT, ifRevision } from '../../write-condition.ts';
import { EXPECTED, StatusError, unknownField } from './answers.ts';
import { countReply } from './body.ts';
import { conflictAs } from './conditions.ts';
import { FAILURES, problemOf } from './failures-document.ts';
import { contextOf, type HttpApp, type HttpHost } from './host.ts';
import { takeJson } from './json.ts';
import { keyOf, nameOf } from './names.ts';
import * as schemas from './schemas.ts';

const TAGS = ['records'];
const NO_ID = Buffer.alloc(0);

export function addBatchRoutes(app: HttpApp, host: HttpHost): void {
  addBatch(app, host);
  addList(app, host);
}

function addBatch(app: HttpApp, host: HttpHost): void {
  const { service, limits, budget, traffic, log } = host;
  const schema = {
    tags: TAGS,
    operationId: 'batchRecords',
    summary: 'Store, retrieve and delete many records',
    description:
      'Each item has an answer of its own: one that is not of the form below, or has a field ' +
      'beyond it, is answered with status 400 in its place, and spoils no other. They are done ' +
      'side by side, in no order.',
    body: schemas.batch,
    response: {
      ...FAILURES,
      200: schemas.batchAnswers.describe('What became of each item.'),
      413: problemOf('The batch is larger than the server takes.'),
    },
  };
  app.post('/v1/batch', { schema, ...takeJson(host, 400) }, async (request, reply) => {
    const context = contextOf(request, limits);
    const { items } = request.body;
    const retrieves = items.filter((item) => opOf(item) === 'retrieve').length;
    const acceptBytesMax = shareOf(limits.recordBytesMax, retrieves);
    const outcomes = await doBatch(
      items,
      (item) => operationOf(opOf(item)),
      (item) => doItem(service, checked(item), acceptBytesMax, context),
      { dialect: 'http', traffic, context, log },
    );
    const answers = outcomes.map(shown);
    countReply(reply, budget, retrieves * acceptBytesMax);
    return { items: answers };
  });
}

function addList(app: HttpApp, { service, limits }: HttpHost): void {
  const schema = {
    tags: TAGS,
    operationId: 'listRecords',
    summary: 'List the IDs of a namespace',
    description: 'Needs the scope admin. While the keyring is rotated, an ID may be told twice.',
    headers: schemas.listHeaders,
    querystring: schemas.listQuery,
    response: {
      ...FAILURES,
      200: schemas.listed,
      403: problemOf('The token has not the scope admin.'),
    },
  };
  app.get('/v1/records', { schema }, async (request) => {
    const { after, limit } = request.query;
    const { namespace } = nameOf(NO_ID, request.headers['enc-namespace'], request.session.caller);
    const page = await service.listPage(
      namespace,
      after === undefined ? undefined : Buffer.from(after, 'hex'),
      limit === undefined ? LIST_IDS : Number(limit),
      contextOf(request, limits),
    );
    const next = page.next?.toString('hex');
    return { ids: page.ids.map(encodePercent), ...(next !== undefined && { next }) };
  });
}

function opOf(item: unknown): string | undefined {
  const op = typeof item === 'object' && item !== null && 'op' in item ? item.op : undefined;
  return typeof op === 'string' ? op : undefined;
}

/** Throws `UNKNOWN_FIELD` or `INVALID_FIELD` with a message that quotes nothing of the item. */
function checked(item: unknown): schemas.HttpBatchItem {
  const { success, data, error } = schemas.batchItem.safeParse(item);
  if (success) return data;
  if (error.issues[0]?.code === 'unrecognized_keys') throw unknownField('the item');
  const [name = 'op'] = error.issues[0]?.path ?? [];
  const known = /^[a-zA-Z0-9]{1,16}$/.test(String(name)) ? `"${String(name)}"` : 'it';
  const words = `the item is malformed: ${known} is missing or wrong`;
  throw new EncServerError('INVALID_FIELD', words, { hint: EXPECTED });
}

async function doItem(
  service: FeService,
  item: schemas.HttpBatchItem,
  acceptBytesMax: number,
  context: RequestContext,
): Promise<schemas.HttpBatchAnswer> {
  const name = itemName(item, context);
  const key = keyOf(item.key);
  if (item.op === 'delete') {
    return { status: 204, existed: await service.delete(name, key, context) };
  }
  if (item.op === 'retrieve') {
    const found = await service.retrieve(name, keyOf(item.key), context, { acceptBytesMax });
    const { record, contentType, revision, expiryMs } = found;
    return {
      status: 200,
      record64: record.toString('base64'),
      ...(contentType !== undefined && { contentType }),
      ...(expiryMs > 0 && { expires: expiryText(expiryMs) }),
      revision: revision.toString('hex'),
    };
  }
  const { contentType, once, expires } = item;
  const input = {
    name,
    key,
    record: bytesOf(item.record, item.record64, 'record'),
    oldKey: keyOf(item.oldKey),
    condition: conditionOf(item),
    contentType,
    once,
    expiryMs: expires === undefined ? undefined : Date.parse(expires),
  };
  const done = await service.store(input, context).catch(conflictAs(input.condition));
  return {
    status: done.replaced ? 200 : 201,
    ...(done.drawnKey && { key: done.drawnKey.toString('hex') }),
    revision: done.revision.toString('hex'),
    replaced: done.replaced,
  };
}

function itemName(item: schemas.HttpBatchItem, { caller }: RequestContext): RecordName {
  const id = bytesOf(item.id, item.id64, 'id');
  const named = item.namespace === undefined ? undefined : Buffer.from(item.namespace, 'utf8');
  return { namespace: namespaceFor(named, caller), id };
}

/** Exactly one of the two forms of a value must be given. */
function bytesOf(text: string | undefined, base64: string | undefined, name: string): Buffer {
  if ((text === undefined) === (base64 === undefined)) {
    const code = text === undefined ? 'MISSING_FIELD' : 'INVALID_FIELD';
    throw new EncServerError(code, `the item takes one of ${name} and ${name}64`);
  }
  return text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text, 'utf8');
}

function conditionOf(item: { ifAbsent?: boolean | undefined; ifRevision?: string | undefined }) {
  const { ifAbsent = false, ifRevision: revision } = item;
  if (revision === undefined) return ifAbsent ? IF_ABSENT : ALWAYS;
  if (!ifAbsent) return ifRevision(Buffer.from(revision, 'hex'));
  throw new EncServerError('INVALID_FIELD', 'two conditions exclude each other');
}

function shown(outcome: ItemOutcome<schemas.HttpBatchAnswer>): schemas.HttpBatchAnswer {
  if ('done' in outcome) return outcome.done;
  const { error } = outcome;
  const { row, code, message, hint } = error;
  const status = error instanceof StatusError ? error.status : row.http;
  return { status, code, title: message, detail: hint };
}
