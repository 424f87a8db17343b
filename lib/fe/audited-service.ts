/**
 * The front end's service with an audit log: every dialect calls the service, so every operation
 * passes here, each item of a batch included, and is recorded with its outcome.
 */
import { hasScope } from '../access.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { checkName, encodeName, nameBytes, type RecordName } from '../crypto/record-name.ts';
import { askerOf } from '../net/asker.ts';
import type { RequestContext } from '../net/request.ts';
import {
  FeService,
  type FeServiceOptions,
  type HeadOutput,
  type IdPage,
  type StoreInput,
  type StoreOutput,
} from './service.ts';

export class AuditedFeService extends FeService {
  readonly #audit: AuditLog;

  constructor(options: FeServiceOptions, audit: AuditLog) {
    super(options);
    this.#audit = audit;
  }

  override async store(input: StoreInput, context: RequestContext): Promise<StoreOutput> {
    return await this.noted('store', input.name, context, () => super.store(input, context));
  }

  /** A caller that is allowed is recorded by the operation that follows. */
  override async admitStore(name: RecordName, context: RequestContext): Promise<void> {
    if (hasScope(context.caller, 'store', name.namespace)) return;
    await this.noted('store', name, context, () => super.admitStore(name, context));
  }

  override async head(name: RecordName, context: RequestContext): Promise<HeadOutput> {
    return await this.noted('peek', name, context, () => super.head(name, context));
  }

  override async listPage(
    namespace: Buffer,
    after: Buffer | undefined,
    limit: number,
    context: RequestContext,
  ): Promise<IdPage> {
    return await this.#audit.around(listOf(namespace, context), () =>
      super.listPage(namespace, after, limit, context),
    );
  }

  /** The line is written before the first ID is returned; a failure after that has no line. */
  override async *listIds(namespace: Buffer, context: RequestContext): AsyncGenerator<Buffer> {
    const ids = super.listIds(namespace, context);
    try {
      const first = await this.#audit.around(listOf(namespace, context), () => ids.next());
      if (first.done) return;
      yield first.value;
      yield* ids;
    } finally {
      await ids.return(undefined);
    }
  }

  override async info(context: RequestContext): Promise<Record<string, unknown>> {
    const asked = { operation: 'info', ...askerOf(context) };
    const facts = await this.#audit.around(asked, () => super.info(context));
    return { ...facts, audit: this.#audit.facts };
  }

  protected override async noted<T>(
    operation: string,
    name: RecordName,
    context: RequestContext,
    work: () => Promise<T>,
  ): Promise<T> {
    return await this.#audit.around({ operation, ...askerOf(context), name: encoded(name) }, work);
  }
}

function listOf(namespace: Buffer, context: RequestContext) {
  const space = Buffer.concat([Buffer.of(namespace.length), namespace]);
  return { operation: 'list', ...askerOf(context), namespace: space };
}

/** The encoding of a name; undefined if it is malformed, which the operation then refuses. */
function encoded(name: RecordName): Buffer | undefined {
  try {
    checkName(name);
  } catch {
    return undefined;
  }
  const bytes = Buffer.allocUnsafe(nameBytes(name));
  encodeName(bytes, 0, name);
  return bytes;
}
