/** `/v1/records`: records of any bytes, conditional requests, namespaces. */
import type { FastifyReply, FastifyRequest, FastifyTypeProviderDefault } from 'fastify';
import type { RecordName } from '../../../crypto/envelope.ts';
import { EncServerError } from '../../../errors.ts';
import type { RequestContext } from '../../../net/request.ts';
import { countReply, readBody } from './body.ts';
import { entityTag, isModified, preconditionFailed, writeConditionOf } from './conditions.ts';
import { contextOf, type HttpApp, type HttpHost } from './host.ts';
import { decodePercent, keyOf, nameOf } from './names.ts';
import { describeRecords } from './records-document.ts';
import type { RecordHeaders } from './schemas.ts';

const OCTETS = 'application/octet-stream';
/** What a header can hold: visible Latin-1, spaces and tabs. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]+$/;

export function addRecordRoutes(app: HttpApp, host: HttpHost): void {
  const routes = new RecordRoutes(host);
  // One handler serves schemas that differ: the types of each are those of `RecordHeaders`.
  const plain = app.withTypeProvider<FastifyTypeProviderDefault>();
  // The ID stands in the path, or, for those whose proxies log paths, in a header.
  for (const path of ['/v1/records/:id', '/v1/record'] as const) {
    const schemas = describeRecords(path);
    plain.put(path, { schema: schemas.put }, (request, reply) => routes.put(request, reply));
    plain.head(path, { schema: schemas.head }, (request, reply) => routes.head(request, reply));
    plain.get(path, { schema: schemas.get }, (request, reply) => routes.get(request, reply));
    plain.delete(path, { schema: schemas.delete }, (request, reply) =>
      routes.delete(request, reply),
    );
  }
}

class RecordRoutes {
  readonly #host: HttpHost;

  constructor(host: HttpHost) {
    this.#host = host;
  }

  async put(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { service, budget, limits } = this.#host;
    const name = nameFrom(request);
    const key = keyOf(headersOf(request)['enc-record-key']);
    const context = contextOf(request, this.#host.limits);
    const record = await readBody(request, reply, budget, limits.recordBytesMax, context);
    const condition = await this.#conditionOf(request, name, context);
    const contentType = request.raw.headers['content-type'];
    const input = { name, record, key, condition, contentType };
    const done = await service.store(input, context).catch(conflictAsPrecondition);
    const revision = done.revision.toString('hex');
    reply.code(done.replaced ? 200 : 201).header('etag', entityTag(done.revision));
    return reply.send({
      ...(done.drawnKey && { key: done.drawnKey.toString('hex') }),
      revision,
      replaced: done.replaced,
    });
  }

  async get(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { service, budget } = this.#host;
    const headers = headersOf(request);
    const hexKey = headers['enc-record-key'];
    if (hexKey === undefined) throw new EncServerError('MISSING_FIELD', 'there is no key');
    const found = await service.retrieve(
      nameFrom(request),
      keyOf(hexKey),
      contextOf(request, this.#host.limits),
    );
    reply.header('etag', entityTag(found.revision));
    if (!isModified(headers, found.revision)) return reply.code(304).send();
    countReply(reply, budget, found.record.length);
    return reply.header('content-type', contentTypeOf(found.contentType)).send(found.record);
  }

  /** Without a key, the entity tag alone; with it, all that GET says but the record. */
  async head(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const headers = headersOf(request);
    if (headers['enc-record-key'] !== undefined) return await this.get(request, reply);
    const { revision } = await this.#host.service.head(
      nameFrom(request),
      contextOf(request, this.#host.limits),
    );
    reply.header('etag', entityTag(revision));
    return isModified(headers, revision) ? reply.send() : reply.code(304).send();
  }

  async delete(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { service } = this.#host;
    const name = nameFrom(request);
    const context = contextOf(request, this.#host.limits);
    const condition = await this.#conditionOf(request, name, context);
    if (condition.kind === 'absent') {
      // Nothing may be there, and nothing is to be deleted.
      if ((await this.#revisionOf(name, context)) !== undefined) throw preconditionFailed();
      return reply.code(204).send();
    }
    const key = keyOf(headersOf(request)['enc-record-key']);
    const existed = await service
      .delete(name, key, context, condition)
      .catch(conflictAsPrecondition);
    if (!existed && condition.kind === 'revision') throw preconditionFailed();
    return reply.code(204).send();
  }

  #conditionOf(request: FastifyRequest, name: RecordName, context: RequestContext) {
    return writeConditionOf(headersOf(request), () => this.#revisionOf(name, context));
  }

  async #revisionOf(name: RecordName, context: RequestContext): Promise<Buffer | undefined> {
    try {
      return (await this.#host.service.head(name, context)).revision;
    } catch (error) {
      if (error instanceof EncServerError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }
}

/** As the schemas have checked them. */
function headersOf(request: FastifyRequest): RecordHeaders {
  return request.headers as RecordHeaders;
}

function nameFrom(request: FastifyRequest): RecordName {
  const headers = headersOf(request);
  const { id } = request.params as { readonly id?: string };
  const bytes = id === undefined ? decodePercent(headers['enc-record-id'] ?? '') : Buffer.from(id);
  return nameOf(bytes, headers['enc-namespace'], request.session.caller);
}

function contentTypeOf(sealed: string | undefined): string {
  return sealed !== undefined && HEADER_VALUE.test(sealed) ? sealed : OCTETS;
}

/** Writes are refused as conflicts by the store only where the request had conditions. */
function conflictAsPrecondition(error: unknown): never {
  if (error instanceof EncServerError && error.code === 'CONFLICT') throw preconditionFailed();
  throw error;
}
