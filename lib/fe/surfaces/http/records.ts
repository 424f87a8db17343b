/** `/v1/records`: records of any bytes, conditional requests, namespaces. */
import type { FastifyReply, FastifyRequest, FastifyTypeProviderDefault } from 'fastify';
import type { RecordName } from '../../../crypto/envelope.ts';
import { EncServerError } from '../../../errors.ts';
import type { RequestContext } from '../../../net/request.ts';
import { expiryText } from '../../../protocol/expiry.ts';
import { decodePercent } from '../../../protocol/percent.ts';
import { orAbsent } from '../../lookup.ts';
import type { ReadRecord } from '../../service.ts';
import { changed, type WriteCondition } from '../../write-condition.ts';
import { countReply, ignoreType, readBody } from './body.ts';
import { entityTag, isModified, isSent, preconditionFailed, writeUnder } from './conditions.ts';
import { contextOf, type HttpApp, type HttpHost } from './host.ts';
import { keyOf, nameOf } from './names.ts';
import { describeRecords } from './records-document.ts';
import type { RecordHeaders } from './schemas.ts';

const OCTETS = 'application/octet-stream';
/** What a header can hold: visible Latin-1, spaces and tabs. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]+$/;

export function addRecordRoutes(app: HttpApp, host: HttpHost): void {
  const routes = new RecordRoutes(host);
  // One handler serves different schemas: `RecordHeaders` has the types of all of them.
  const plain = app.withTypeProvider<FastifyTypeProviderDefault>();
  // The ID is in the path, or, for callers whose proxies log paths, in a header.
  for (const path of ['/v1/records/:id', '/v1/record'] as const) {
    const schemas = describeRecords(path);
    plain.put(path, { schema: schemas.put }, (request, reply) => routes.put(request, reply));
    const rekey = { schema: schemas.rekey, onRequest: ignoreType };
    plain.post(`${path}/rekey`, rekey, (request, reply) => routes.rekey(request, reply));
    plain.head(path, { schema: schemas.head }, (request, reply) => routes.head(request, reply));
    plain.get(path, { schema: schemas.get }, (request, reply) => routes.get(request, reply));
    const erase = { schema: schemas.delete, onRequest: ignoreType };
    plain.delete(path, erase, (request, reply) => routes.delete(request, reply));
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
    const context = contextOf(request, limits);
    // Checked before room for the body is reserved.
    await service.admitStore(name, context);
    checkWhole(request);
    const record = await readBody(request, reply, budget, limits.recordBytesMax, context);
    const contentType = request.raw.headers['content-type'];
    const oldKey = keyOf(headersOf(request)['enc-old-key']);
    const input = { name, record, key, oldKey, contentType, ...lifeOf(request) };
    const done = await this.#underConditions(request, name, context, (condition) =>
      service.store({ ...input, condition }, context),
    );
    const revision = done.revision.toString('hex');
    reply.code(done.replaced ? 200 : 201).header('etag', entityTag(done.revision));
    return reply.send({
      ...(done.drawnKey && { key: done.drawnKey.toString('hex') }),
      revision,
      replaced: done.replaced,
    });
  }

  async get(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { service } = this.#host;
    const headers = headersOf(request);
    const hexKey = headers['enc-record-key'];
    if (hexKey === undefined) throw new EncServerError('MISSING_FIELD', 'there is no key');
    const name = nameFrom(request);
    const key = keyOf(hexKey);
    const context = contextOf(request, this.#host.limits);
    // Decided by the revision that is returned: only what is sent is claimed.
    const claims = (revision: Buffer) => isSent(headers, revision);
    const found = await service.retrieve(name, key, context, { claims, reader: readerOf(headers) });
    tellLife(reply, found);
    if (!isModified(conditionsOn(found, headers), found.revision)) return reply.code(304).send();
    return this.#send(reply, found);
  }

  /**
   * Without a key, only the entity tag and the end; with it, every header that GET sends, but for
   * those of the body where the record can be read once.
   */
  async head(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const headers = headersOf(request);
    const { 'enc-record-key': hexKey } = headers;
    const { service } = this.#host;
    const name = nameFrom(request);
    const context = contextOf(request, this.#host.limits);
    if (hexKey === undefined) {
      const found = await service.head(name, context);
      tellLife(reply, found);
      return isModified(headers, found.revision) ? reply.send() : reply.code(304).send();
    }
    // Looking at a record that can be read once does not claim it.
    const looking = { claims: false, reader: readerOf(headers) };
    const found = await service.retrieve(name, keyOf(hexKey), context, looking);
    tellLife(reply, found);
    if (!isModified(conditionsOn(found, headers), found.revision)) return reply.code(304).send();
    return found.once ? reply.send() : this.#send(reply, found);
  }

  #send(reply: FastifyReply, { record, contentType }: ReadRecord): FastifyReply {
    countReply(reply, this.#host.budget, record.length);
    return reply.header('content-type', contentTypeOf(contentType)).send(record);
  }

  /** The new key is the caller's, who has it before the old one is replaced. */
  async rekey(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { 'enc-old-key': oldKey, 'enc-record-key': newKey } = headersOf(request);
    if (oldKey === undefined || newKey === undefined) {
      throw new EncServerError('MISSING_FIELD', 'it takes Enc-Old-Key and Enc-Record-Key');
    }
    const context = contextOf(request, this.#host.limits);
    const name = nameFrom(request);
    const { service } = this.#host;
    const [from, to] = [keyOf(oldKey), keyOf(newKey)];
    const { revision } = await this.#underConditions(request, name, context, (condition) =>
      service.rekey(name, from, to, context, condition),
    );
    return reply
      .header('etag', entityTag(revision))
      .send({ revision: revision.toString('hex'), replaced: true });
  }

  async delete(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { service } = this.#host;
    const name = nameFrom(request);
    const context = contextOf(request, this.#host.limits);
    const key = keyOf(headersOf(request)['enc-record-key']);
    const isMeant = await this.#underConditions(request, name, context, async (condition) => {
      if (condition.kind === 'absent') {
        // No record may be there, so there is nothing to delete.
        if ((await this.#revisionOf(name, context)) !== undefined) throw changed();
        return true;
      }
      return (await service.delete(name, key, context, condition)) || condition.kind === 'always';
    });
    // Thrown here: to try again would be another guess at the key, where that is not told.
    if (!isMeant) throw preconditionFailed();
    return reply.code(204).send();
  }

  #underConditions<T>(
    request: FastifyRequest,
    name: RecordName,
    context: RequestContext,
    write: (condition: WriteCondition) => Promise<T>,
  ): Promise<T> {
    return writeUnder(headersOf(request), context, () => this.#revisionOf(name, context), write);
  }

  async #revisionOf(name: RecordName, context: RequestContext): Promise<Buffer | undefined> {
    return (await orAbsent(this.#host.service.head(name, context)))?.revision;
  }
}

/**
 * A record is returned exactly as stored, so a partial body, or a content coding that its reader
 * would not be told of, is refused.
 *
 * @throws EncServerError `INVALID_FIELD`
 */
function checkWhole({ headers }: FastifyRequest): void {
  if (headers['content-range'] !== undefined) {
    const hint = 'a PUT has the whole record (RFC 9110, section 14.5)';
    throw new EncServerError('INVALID_FIELD', 'Content-Range is not taken', { hint });
  }
  const coding = headers['content-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== 'identity') {
    const hint = 'send the record as it is, or say what it is by Content-Type';
    throw new EncServerError('INVALID_FIELD', 'Content-Encoding is not kept', { hint });
  }
}

/** When a record expires, and whether it can be read only once. */
function lifeOf(request: FastifyRequest): { expiryMs: number | undefined; once: boolean } {
  const { 'enc-ttl': ttl, 'enc-expires': expires, 'enc-once': once } = headersOf(request);
  if (ttl !== undefined && expires !== undefined) {
    throw new EncServerError('INVALID_FIELD', 'Enc-Ttl and Enc-Expires exclude each other');
  }
  const untilMs = expires === undefined ? undefined : Date.parse(expires);
  const expiryMs = ttl === undefined ? untilMs : Date.now() + Number(ttl) * 1_000;
  return { expiryMs, once: once === '1' };
}

/** Of a reader that repeats its request, If-Match has held: its read itself ended that revision. */
function conditionsOn({ again }: ReadRecord, headers: RecordHeaders): RecordHeaders {
  return again ? { ...headers, 'if-match': undefined } : headers;
}

/** Headers of every answer about a record. */
function tellLife(reply: FastifyReply, found: Pick<ReadRecord, 'revision' | 'expiryMs'>): void {
  reply.header('etag', entityTag(found.revision));
  if (found.expiryMs > 0) reply.header('enc-expires', expiryText(found.expiryMs));
}

function readerOf({ 'enc-reader': reader }: RecordHeaders): Buffer | undefined {
  return reader === undefined ? undefined : Buffer.from(reader, 'hex');
}

/** The headers, as the schemas have checked them. */
function headersOf(request: FastifyRequest): RecordHeaders {
  return request.headers as RecordHeaders;
}

function nameFrom(request: FastifyRequest): RecordName {
  const headers = headersOf(request);
  const { id } = request.params as { readonly id?: string };
  if (id !== undefined) checkNoQuery(request);
  const bytes = id === undefined ? decodePercent(headers['enc-record-id'] ?? '') : Buffer.from(id);
  return nameOf(bytes, headers['enc-namespace'], request.session.caller);
}

/**
 * A `?` that belongs to an ID would make it the ID of another record.
 *
 * @throws EncServerError `INVALID_FIELD`
 */
function checkNoQuery({ url }: FastifyRequest): void {
  if (!url.includes('?')) return;
  const hint = 'a ? that belongs to the ID is written %3F';
  throw new EncServerError('INVALID_FIELD', 'nothing is asked for after a ? here', { hint });
}

function contentTypeOf(sealed: string | undefined): string {
  return sealed !== undefined && HEADER_VALUE.test(sealed) ? sealed : OCTETS;
}
