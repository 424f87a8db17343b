/** `/records`: the interface of the family's Go front end, as its client speaks it. */
import { isUtf8 } from 'node:buffer';
import { EncServerError } from '../../../errors.ts';
import { StatusError } from './answers.ts';
import { countReply, ignoreType } from './body.ts';
import { contextOf, type HttpApp, type HttpHost } from './host.ts';
import { takeJson } from './json.ts';
import { keyOf, nameOf } from './names.ts';
import * as schemas from './schemas.ts';

const TAGS = ['records (Go client)'];
const FAILURES = {
  400: schemas.message,
  401: schemas.message,
  403: schemas.message,
  410: schemas.message,
  413: schemas.message,
  429: schemas.message,
  500: schemas.message,
  502: schemas.message,
  503: schemas.message,
  504: schemas.message,
};
/** Described with its type: a plain null would be taken for an answer without a body. */
const DELETED = {
  description: 'There is no such record any more.',
  content: { 'application/json': { schema: schemas.nullBody } },
};

export function addGoRoutes(app: HttpApp, host: HttpHost): void {
  addStore(app, host);
  addRetrieve(app, host);
  addDelete(app, host);
}

function addStore(app: HttpApp, host: HttpHost): void {
  const { service, limits } = host;
  const schema = {
    tags: TAGS,
    operationId: 'goStoreRecord',
    summary: 'Store a record; the answer has its key',
    body: schemas.newGoRecord,
    response: { 201: schemas.goRecord, ...FAILURES },
  };
  app.post('/records', { schema, ...takeJson(host, 400) }, async (request, reply) => {
    const { id, key: hexKey, data } = request.body;
    const name = nameOf(Buffer.from(id, 'hex'), undefined, request.session.caller);
    const key = hexKey === '' ? undefined : keyOf(hexKey);
    const input = { name, record: Buffer.from(data, 'hex'), key };
    const context = contextOf(request, limits);
    const { drawnKey } = await service.store(input, context).catch(badGateway);
    return reply.code(201).send({ id, key: drawnKey?.toString('hex') ?? hexKey, data });
  });
}

function addRetrieve(app: HttpApp, { service, limits, budget }: HttpHost): void {
  const schema = {
    tags: TAGS,
    operationId: 'goRetrieveRecord',
    summary: 'Retrieve a record',
    description:
      'The key stands in the URL, as the Go client sends it: other programs on the way may log ' +
      'it. `GET /v1/records/{id}` takes it in a header.',
    params: schemas.goPath,
    querystring: schemas.goQuery,
    response: {
      200: schemas.goRecord,
      404: schemas.message,
      406: schemas.message.describe('The record is no text; `GET /v1/records/{id}` gives bytes.'),
      ...FAILURES,
    },
  };
  app.get('/records/:id', { schema }, async (request, reply) => {
    const { id } = request.params;
    const { key } = request.query;
    const name = nameOf(Buffer.from(id, 'hex'), undefined, request.session.caller);
    const context = contextOf(request, limits);
    // HEAD only looks: the record may be one that can be read once.
    const claims = request.method !== 'HEAD';
    const options = { claims, check: checkIsUtf8 };
    const { record } = await service.retrieve(name, keyOf(key), context, options);
    countReply(reply, budget, record.length);
    return { id, key, data: record.toString('utf8') };
  });
}

function addDelete(app: HttpApp, { service, limits }: HttpHost): void {
  const schema = {
    tags: TAGS,
    operationId: 'goDeleteRecord',
    summary: 'Delete a record, whether there is one or not',
    params: schemas.goPath,
    response: { 202: DELETED, ...FAILURES },
  };
  app.delete('/records/:id', { schema, onRequest: ignoreType }, async (request, reply) => {
    const name = nameOf(Buffer.from(request.params.id, 'hex'), undefined, request.session.caller);
    await service.delete(name, undefined, contextOf(request, limits));
    return reply.code(202).send(null);
  });
}

/** In JSON, other bytes would be changed. @throws EncServerError `NOT_TEXT` */
function checkIsUtf8(record: Buffer): void {
  if (isUtf8(record)) return;
  const hint = 'GET /v1/records/{id} gives bytes';
  throw new EncServerError('NOT_TEXT', 'the record is no UTF-8', { hint });
}

/** The Go front end's answer if its back end cannot be reached to store. */
function badGateway(error: unknown): never {
  if (error instanceof EncServerError && error.code === 'UNAVAILABLE') {
    throw new StatusError(502, 'UNAVAILABLE', error.message, { hint: error.hint });
  }
  throw error;
}
