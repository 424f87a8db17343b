/** `/data`: the interface of the SSE demo, including its status codes and error bodies. */
import { Readable } from 'node:stream';
import { orAbsent } from '../../lookup.ts';
import { countReply } from './body.ts';
import { contextOf, type HttpApp, type HttpHost } from './host.ts';
import { takeJson } from './json.ts';
import * as schemas from './schemas.ts';

const JSON_TYPE = 'application/json; charset=utf-8';
const TAGS = ['data'];
/** IDs in one chunk of a list. */
const CHUNK_IDS = 1_000;
const FAILURES = {
  400: schemas.detail,
  401: schemas.detail,
  403: schemas.detail,
  413: schemas.detail,
  429: schemas.detail,
  500: schemas.detail,
  502: schemas.detail,
  503: schemas.detail,
  504: schemas.detail,
};

export function addDataRoutes(app: HttpApp, host: HttpHost): void {
  addList(app, host);
  addRetrieve(app, host);
  addCreate(app, host);
}

function addList(app: HttpApp, { items, budget, limits }: HttpHost): void {
  const schema = {
    tags: TAGS,
    operationId: 'listItems',
    summary: 'List the IDs of all items',
    querystring: schemas.itemsQuery,
    response: { 200: schemas.itemIds, 422: schemas.complaints, ...FAILURES },
  };
  app.get('/data', { schema }, async (request, reply) => {
    const ids = await items.listIds(contextOf(request, limits), request.query);
    countReply(reply, budget, ids.length * Float64Array.BYTES_PER_ELEMENT);
    if (ids.length <= CHUNK_IDS) return ids;
    reply.header('content-type', JSON_TYPE);
    // Fastify accepts any stream; its types know only the content.
    return reply.send(Readable.from(chunksOf(ids)) as never);
  });
}

/** A JSON array in parts: the whole text is never in memory. */
function* chunksOf(ids: readonly number[]): Generator<string> {
  for (let at = 0; at < ids.length; at += CHUNK_IDS) {
    yield `${at === 0 ? '[' : ','}${ids.slice(at, at + CHUNK_IDS).join(',')}`;
  }
  yield ']';
}

function addRetrieve(app: HttpApp, { items, budget, limits }: HttpHost): void {
  const schema = {
    tags: TAGS,
    operationId: 'retrieveItem',
    summary: 'Retrieve an item',
    params: schemas.itemPath,
    response: {
      200: schemas.item,
      404: schemas.detail,
      422: schemas.complaints,
      ...FAILURES,
    },
  };
  app.get('/data/:item_id', { schema }, async (request, reply) => {
    const { item_id: id } = request.params;
    const data = await orAbsent(items.retrieve(id, contextOf(request, limits)));
    if (data === undefined) return reply.code(404).send({ detail: `Item with id ${id} not found` });
    countReply(reply, budget, data.length);
    return { id, data: data.toString('utf8') };
  });
}

function addCreate(app: HttpApp, host: HttpHost): void {
  const { items, limits } = host;
  const schema = {
    tags: TAGS,
    operationId: 'createItem',
    summary: 'Create an item, under the next ID if its own is taken',
    body: schemas.newItem,
    response: {
      200: schemas.item,
      409: schemas.detail.describe('The ID is taken, and no higher one is left.'),
      422: schemas.complaints,
      ...FAILURES,
    },
  };
  app.post('/data', { schema, ...takeJson(host, 422) }, async (request, reply) => {
    const { data } = request.body;
    if (data === '') return reply.code(400).send({ detail: 'Invalid or missing data' });
    const context = contextOf(request, limits);
    return { id: await items.create(request.body, context), data };
  });
}
